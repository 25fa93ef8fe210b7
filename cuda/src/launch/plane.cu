#include "launch/plane.hpp"

#include "kernel/encode.cuh"
#include "kernel/normalize.cuh"
#include "launch/device.hpp"
#include "launch/kinds.hpp"
#include "launch/prepare.hpp"

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
    if (!is_float(rows.dtype) && rows.dtype != EMBMATH_I8 && rows.dtype != EMBMATH_U8) return EMBMATH_CUDA_BAD_DTYPE;
    if (rows.n_rows < 0 || rows.n_rows > kMostRows || rows.n_cols < 1 || rows.n_cols > kMostCols) return EMBMATH_CUDA_BAD_SIZE;
    return EMBMATH_CUDA_OK;
}

embmath_cuda_status check_metric(const embmath_rows& rows, std::int32_t metric) {
    if (metric == EMBMATH_HAMMING) return rows.dtype == EMBMATH_U8 ? EMBMATH_CUDA_OK : EMBMATH_CUDA_BAD_DTYPE;
    if (metric < EMBMATH_COSINE || metric > EMBMATH_SQEUCLIDEAN) return EMBMATH_CUDA_BAD_METRIC;
    // 33025 * 255 * 255 is the last sum of products that an int32 holds whatever the rows are.
    constexpr std::int64_t kMostBytes = 33025;
    return is_float(rows.dtype) || rows.n_cols <= kMostBytes ? EMBMATH_CUDA_OK : EMBMATH_CUDA_BAD_SIZE;
}

std::int32_t line_bytes(const embmath_rows& rows) {
    const std::int64_t n_bytes = rows.n_cols * (is_float(rows.dtype) ? 2 : 1);
    return static_cast<std::int32_t>((n_bytes + kChunkBytes - 1) / kChunkBytes * kChunkBytes);
}

bool is_coded(const embmath_rows& rows, Metric metric) {
    const bool has_codes = visit_kind(rows.dtype, metric, [](auto kind) { return decltype(kind)::is_coded; });
    const std::int64_t n_bytes = rows.n_cols * (is_float(rows.dtype) ? 2 : 1);
    return has_codes && n_bytes % kChunkBytes == 0 && rows.row_stride % kChunkBytes == 0 &&
           reinterpret_cast<std::uintptr_t>(rows.data) % kChunkBytes == 0;
}

Plane carve_plane(Carver& carver, const embmath_rows& rows, std::int64_t n, Metric metric, bool may_borrow, bool is_corpus) {
    Plane plane;
    plane.lines = {static_cast<const unsigned char*>(rows.data), rows.row_stride, n, line_bytes(rows)};
    if (!may_borrow || !is_coded(rows, metric)) {
        plane.lines.stride = plane.lines.n_bytes;
        plane.codes = carver.take<unsigned char>(n * plane.lines.stride);
        plane.lines.data = plane.codes;
    }
    if (!is_corpus) {
        plane.measures = carver.take<core::HalfMeasure>(n);
        return plane;
    }
    plane.terms = carver.take<core::HalfRow>(n);
    plane.range = carver.take<core::HalfRange>(1);
    return plane;
}

void encode_rows(const Rows& rows, std::int32_t dtype, const Plane& plane, Metric metric, bool is_corpus, Stream stream) {
    if (rows.n_rows == 0) return;
    const Grid grid{blocks_for(rows.n_rows, kRowsPerBlock), 1, kRowThreads, 0};
    const EncodeArgs args{rows, plane, metric, is_corpus};
    visit_kind(dtype, metric, [&](auto traits) {
        using Kind = decltype(traits);
        if constexpr (Kind::is_coded) {
            if (sizeof(typename Kind::Row::storage) == 1 || plane.codes == nullptr) return launch<EncodeArgs>(&measure_rows<Kind>, grid, stream, args);
        }
        if constexpr (sizeof(typename Kind::Row::storage) > 1) launch<EncodeArgs>(&encode_halves<typename Kind::Row>, grid, stream, args);
    });
}

embmath_cuda_status prepare_planes() {
    const auto load_kind = [](auto kind) {
        using Kind = decltype(kind);
        if constexpr (Kind::is_coded) return load(&measure_rows<Kind>);
        return static_cast<embmath_cuda_status>(EMBMATH_CUDA_OK);
    };
    const auto load_float = [](auto traits) { return load(&encode_halves<decltype(traits)>, &normalize<decltype(traits)>); };
    return first_failure({load(&open_range), each_kind(load_kind), each_float(load_float)});
}

void reset_range(const Plane& plane, Stream stream) { launch<RangeArgs>(&open_range, {1, 1, 32, 0}, stream, {plane.range}); }

}  // namespace embmath::cuda

using namespace embmath;
using namespace embmath::cuda;

extern "C" {

embmath_cuda_status embmath_cuda_plane_bytes(const embmath_rows* rows, embmath_metric metric, size_t* bytes) {
    if (const embmath_cuda_status status = check_rows(*rows); status != EMBMATH_CUDA_OK) return status;
    if (const embmath_cuda_status status = check_metric(*rows, metric); status != EMBMATH_CUDA_OK) return status;
    Carver carver(nullptr);
    carve_plane(carver, *rows, rows->n_rows, static_cast<Metric>(metric), true, true);
    *bytes = carver.used();
    return EMBMATH_CUDA_OK;
}

embmath_cuda_status embmath_cuda_make_plane(const embmath_rows* rows, embmath_metric metric, void* plane, size_t bytes,
                                            int device, void* stream) {
    size_t needed = 0;
    if (const embmath_cuda_status status = embmath_cuda_plane_bytes(rows, metric, &needed); status != EMBMATH_CUDA_OK) return status;
    if (bytes < needed) return EMBMATH_CUDA_SMALL_WORKSPACE;
    const DeviceGuard guard(device);
    if (guard.status() != EMBMATH_CUDA_OK) return guard.status();
    Carver carver(plane);
    const Plane codes = carve_plane(carver, *rows, rows->n_rows, static_cast<Metric>(metric), true, true);
    reset_range(codes, static_cast<Stream>(stream));
    encode_rows(rows_of(*rows), rows->dtype, codes, static_cast<Metric>(metric), true, static_cast<Stream>(stream));
    return guard.launched();
}

embmath_cuda_status embmath_cuda_normalize(const embmath_rows* rows, double eps, void* out, int device, void* stream) {
    if (const embmath_cuda_status status = check_rows(*rows); status != EMBMATH_CUDA_OK) return status;
    if (!is_float(rows->dtype)) return EMBMATH_CUDA_BAD_DTYPE;
    const DeviceGuard guard(device);
    if (guard.status() != EMBMATH_CUDA_OK) return guard.status();
    if (rows->n_rows == 0) return EMBMATH_CUDA_OK;
    visit_floats(static_cast<Dtype>(rows->dtype), [&](auto traits) {
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
        case EMBMATH_CUDA_BAD_DTYPE: return "dtype: expected float16, bfloat16 or float32 (queries: float32), or int8 or uint8 of both; uint8 for hamming";
        case EMBMATH_CUDA_BAD_METRIC: return "metric: expected cosine, dot, euclidean, sqeuclidean or hamming";
        case EMBMATH_CUDA_BAD_SIZE: return "shape: expected fewer than 2^32 - 1 rows, 1 to 2^20 columns (33025 of bytes), k from 1 to most_results, no negative capacity";
        case EMBMATH_CUDA_SMALL_WORKSPACE: return "workspace: smaller than asked for";
        case EMBMATH_CUDA_BAD_PLAN: return "plan: expected auto, exact, match or tiles; tiles by embmath_cuda_tiles_* only, and they alone, of float rows without a plane";
        case EMBMATH_CUDA_BAD_FORMAT: return "format: expected 1 to 255 levels, 15 of two codes to a byte; split: an even number of columns";
        case EMBMATH_CUDA_BAD_THRESHOLD: return "threshold: expected a number for a range search, got NaN";
        default: break;
    }
#if defined(__CUDACC__)
    return cudaGetErrorString(static_cast<cudaError_t>(status));
#else
    return "unknown";
#endif
}

}  // extern "C"
