#include "launch/plane.hpp"

#include "kernel/encode.cuh"
#include "kernel/normalize.cuh"
#include "launch/device.hpp"

namespace embmath::cuda {

Rows rows_of(const embmath_rows& rows) { return {rows.data, rows.n_rows, rows.n_cols, rows.row_stride}; }

Rows part_of(const Rows& rows, std::int64_t first, std::int64_t n) {
    Rows part = rows;
    part.data = static_cast<const unsigned char*>(rows.data) + first * rows.row_stride;
    part.n_rows = n;
    return part;
}

embmath_cuda_status check_rows(const embmath_rows& rows) {
    constexpr std::int64_t kMostRows = 0xfffffffe, kMostCols = std::int64_t{1} << 20;
    if (rows.dtype < EMBMATH_F16 || rows.dtype > EMBMATH_F32) return EMBMATH_CUDA_BAD_DTYPE;
    if (rows.n_rows < 0 || rows.n_rows > kMostRows || rows.n_cols < 1 || rows.n_cols > kMostCols) return EMBMATH_CUDA_BAD_SIZE;
    return EMBMATH_CUDA_OK;
}

void encode_rows(const Rows& rows, Dtype dtype, const Plane& plane, Metric metric, bool is_corpus, Stream stream) {
    if (rows.n_rows == 0) return;
    visit_rows(dtype, [&](auto traits) {
        launch<EncodeArgs>(&encode<decltype(traits)>, {blocks_for(rows.n_rows, kRowsPerBlock), 1, kRowThreads, 0}, stream,
                           {rows, plane, metric, is_corpus});
    });
}

void reset_range(const Plane& plane, Stream stream) { launch<RangeArgs>(&open_range, {1, 1, 32, 0}, stream, {plane.range}); }

}  // namespace embmath::cuda

using namespace embmath;
using namespace embmath::cuda;

extern "C" {

size_t embmath_cuda_plane_bytes(int64_t n_rows, int64_t n_cols) {
    Carver carver(nullptr);
    carve_plane(carver, n_rows, n_cols, true);
    return carver.used();
}

embmath_cuda_status embmath_cuda_make_plane(const embmath_rows* rows, embmath_metric metric, void* plane, size_t bytes,
                                            int device, void* stream) {
    if (const embmath_cuda_status status = check_rows(*rows); status != EMBMATH_CUDA_OK) return status;
    if (metric < EMBMATH_COSINE || metric > EMBMATH_SQEUCLIDEAN) return EMBMATH_CUDA_BAD_METRIC;
    if (bytes < embmath_cuda_plane_bytes(rows->n_rows, rows->n_cols)) return EMBMATH_CUDA_SMALL_WORKSPACE;
    const DeviceGuard guard(device);
    if (guard.status() != EMBMATH_CUDA_OK) return guard.status();
    Carver carver(plane);
    const Plane codes = carve_plane(carver, rows->n_rows, rows->n_cols, true);
    reset_range(codes, static_cast<Stream>(stream));
    encode_rows(rows_of(*rows), static_cast<Dtype>(rows->dtype), codes, static_cast<Metric>(metric), true, static_cast<Stream>(stream));
    return guard.launched();
}

embmath_cuda_status embmath_cuda_normalize(const embmath_rows* rows, double eps, void* out, int device, void* stream) {
    if (const embmath_cuda_status status = check_rows(*rows); status != EMBMATH_CUDA_OK) return status;
    const DeviceGuard guard(device);
    if (guard.status() != EMBMATH_CUDA_OK) return guard.status();
    if (rows->n_rows == 0) return EMBMATH_CUDA_OK;
    visit_rows(static_cast<Dtype>(rows->dtype), [&](auto traits) {
        launch<NormalizeArgs>(&normalize<decltype(traits)>, {blocks_for(rows->n_rows, kRowsPerBlock), 1, kRowThreads, 0},
                              static_cast<Stream>(stream), {rows_of(*rows), eps, out});
    });
    return guard.launched();
}

int embmath_cuda_is_emulated() {
#if defined(__CUDACC__)
    return 0;
#else
    return 1;
#endif
}

const char* embmath_cuda_message(embmath_cuda_status status) {
    switch (status) {
        case EMBMATH_CUDA_OK: return "done";
        case EMBMATH_CUDA_BAD_DTYPE: return "dtype: expected float16, bfloat16 or float32 (queries: float32)";
        case EMBMATH_CUDA_BAD_METRIC: return "metric: expected cosine, dot, euclidean or sqeuclidean";
        case EMBMATH_CUDA_BAD_SIZE: return "shape: expected fewer than 2^32 - 1 rows, 1 to 2^20 columns, k from 1 to most_results";
        case EMBMATH_CUDA_SMALL_WORKSPACE: return "workspace: smaller than asked for";
        case EMBMATH_CUDA_BAD_PLAN: return "plan: expected auto, exact, match or tiles; tiles by embmath_cuda_tiles_* only, and they alone";
        case EMBMATH_CUDA_BAD_FORMAT: return "format: expected 1 to 255 levels, 15 of two codes to a byte; split: an even number of columns";
        default: break;
    }
#if defined(__CUDACC__)
    return cudaGetErrorString(static_cast<cudaError_t>(status));
#else
    return "unknown";
#endif
}

}  // extern "C"
