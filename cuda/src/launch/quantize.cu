#include <algorithm>
#include <type_traits>

#include "core/code_grid.hpp"
#include "kernel/quantize.cuh"
#include "kernel/signs.cuh"
#include "launch/device.hpp"
#include "launch/kinds.hpp"
#include "launch/plane.hpp"
#include "launch/prepare.hpp"

namespace embmath::cuda {

namespace {

bool is_aligned(const void* p, std::int64_t bytes) { return reinterpret_cast<std::uintptr_t>(p) % static_cast<std::uintptr_t>(bytes) == 0; }

// Every piece of a row starts at an address that one instruction can load, and is full.
bool has_whole_pieces(const Rows& rows, std::int64_t piece_columns, std::int64_t columns) {
    return columns % piece_columns == 0 && is_aligned(rows.data, 16) && (rows.row_stride % 16 == 0 || rows.n_rows == 1);
}

// As many lanes as find something to do at once, so that short rows leave none idle.
int log_lanes_for(std::int64_t parts) {
    int log_lanes = 2;
    while (log_lanes < 5 && (1 << log_lanes) < parts) ++log_lanes;
    return log_lanes;
}

// Lanes take a piece of either half of a row, or `n_pieces`.
Walk walk_of(int n_cols, int count, bool is_split, int n_pieces) {
    const int end = is_split ? n_cols / 2 : n_cols, together = is_split ? count : n_pieces * count;
    const int log_lanes = log_lanes_for((end + together - 1) / together);
    return {n_cols, log_lanes, end, is_split ? end : count << log_lanes, together << log_lanes, count};
}

CodeFormat code_format(const embmath_code_format& format) {
    CodeFormat found;
    found.levels = format.levels;
    found.is_signed = format.is_signed != 0;
    found.is_symmetric = format.is_symmetric != 0;
    found.rounding = static_cast<Rounding>(format.rounding);
    return found;
}

Coder coder_of(const embmath_code_format& format, std::int64_t n_cols, void* codes) {
    const auto bytes = static_cast<CodeBytes>(format.bytes);
    const CodeFormat found = code_format(format);
    const std::int64_t row_bytes = bytes == CodeBytes::one ? n_cols : (n_cols + 1) / 2;
    return {found, core::place_rule(found), bytes, row_bytes, static_cast<std::uint8_t*>(codes)};
}

embmath_cuda_status check_floats(const embmath_rows& rows) {
    const embmath_cuda_status status = check_rows(rows);
    return status == EMBMATH_CUDA_OK && !is_float(rows.dtype) ? EMBMATH_CUDA_BAD_DTYPE : status;
}

embmath_cuda_status check_format(const embmath_rows& rows, const embmath_code_format& format) {
    if (const embmath_cuda_status status = check_floats(rows); status != EMBMATH_CUDA_OK) return status;
    const bool is_known = format.rounding >= EMBMATH_FLOOR && format.rounding <= EMBMATH_RATIO && format.bytes >= EMBMATH_BYTES &&
                          format.bytes <= EMBMATH_SPLIT;
    const int most = format.bytes == EMBMATH_BYTES ? 255 : 15;
    const bool fits = format.levels >= 1 && format.levels <= most && (format.bytes != EMBMATH_SPLIT || rows.n_cols % 2 == 0);
    return is_known && fits ? EMBMATH_CUDA_OK : EMBMATH_CUDA_BAD_FORMAT;
}

// Calls `visit(traits, is_whole)`; both are types.
template <class Visit>
void visit_pieces(const embmath_rows& rows, CodeBytes bytes, const void* codes, const Visit& visit) {
    visit_floats(static_cast<Dtype>(rows.dtype), [&](auto traits) {
        const std::int64_t columns = bytes == CodeBytes::split ? rows.n_cols / 2 : rows.n_cols;
        if (has_whole_pieces(rows_of(rows), Piece<decltype(traits)>::kCount, columns) && is_aligned(codes, 8)) {
            visit(traits, std::true_type{});
        } else {
            visit(traits, std::false_type{});
        }
    });
}

}  // namespace

embmath_cuda_status prepare_codes() {
    return each_float([](auto traits) {
        using D = decltype(traits);
        return load(&quantize<D, true, true>, &quantize<D, true, false>, &quantize<D, false, true>, &quantize<D, false, false>,
                    &quantize_rows<D, true>, &quantize_rows<D, false>, &pack_bits<D, true>, &pack_bits<D, false>);
    });
}

}  // namespace embmath::cuda

using namespace embmath;
using namespace embmath::cuda;

extern "C" {

embmath_cuda_status embmath_cuda_quantize(const embmath_rows* rows, const embmath_code_format* format, const float* low,
                                          const float* high, int64_t n_ranges, void* codes, int device, void* stream) {
    if (const embmath_cuda_status status = check_format(*rows, *format); status != EMBMATH_CUDA_OK) return status;
    if (n_ranges != 1 && n_ranges != rows->n_cols) return EMBMATH_CUDA_BAD_SIZE;
    if (format->is_symmetric != 0) return EMBMATH_CUDA_BAD_FORMAT;
    const DeviceGuard guard(device);
    if (guard.status() != EMBMATH_CUDA_OK) return guard.status();
    if (rows->n_rows == 0) return EMBMATH_CUDA_OK;
    const Coder coder = coder_of(*format, rows->n_cols, codes);
    visit_pieces(*rows, coder.bytes, codes, [&](auto traits, auto is_whole) {
        using D = decltype(traits);
        const bool is_split = coder.bytes == CodeBytes::split;
        const Walk walk = walk_of(static_cast<int>(rows->n_cols), Piece<D>::kCount, is_split, 1);
        // Few blocks, so that a lane meets many rows on the grids that it has made; enough to fill the device.
        constexpr std::int64_t kBlocksEach = 8;
        const unsigned tiles = blocks_for(walk.end, walk.stride);
        const std::int64_t most = std::max<std::int64_t>(1, kBlocksEach * multiprocessors(device) / tiles);
        const auto height = std::min<std::int64_t>(most, blocks_for(rows->n_rows, walk.rows_per_block()));
        constexpr bool kIsWhole = decltype(is_whole)::value;
        launch<QuantizeArgs>(is_split ? &quantize<D, kIsWhole, true> : &quantize<D, kIsWhole, false>,
                             {tiles, static_cast<unsigned>(height), kWalkThreads, 0}, static_cast<Stream>(stream),
                             {rows_of(*rows), walk, coder, low, high, n_ranges != 1});
    });
    return guard.launched();
}

embmath_cuda_status embmath_cuda_quantize_rows(const embmath_rows* rows, const embmath_code_format* format, void* codes,
                                               float* minimum, float* step, uint32_t* before_bad, int device, void* stream) {
    if (const embmath_cuda_status status = check_format(*rows, *format); status != EMBMATH_CUDA_OK) return status;
    const DeviceGuard guard(device);
    if (guard.status() != EMBMATH_CUDA_OK) return guard.status();
    if (rows->n_rows == 0) return EMBMATH_CUDA_OK;
    const Coder coder = coder_of(*format, rows->n_cols, codes);
    visit_pieces(*rows, coder.bytes, codes, [&](auto traits, auto is_whole) {
        using D = decltype(traits);
        const Walk walk = walk_of(static_cast<int>(rows->n_cols), Piece<D>::kCount, coder.bytes == CodeBytes::split, 2);
        launch<QuantizeRowsArgs>(&quantize_rows<D, decltype(is_whole)::value>,
                                 {blocks_for(rows->n_rows, walk.rows_per_block()), 1, kWalkThreads, 0},
                                 static_cast<Stream>(stream), {rows_of(*rows), walk, coder, minimum, step, before_bad});
    });
    return guard.launched();
}

embmath_cuda_status embmath_cuda_pack_bits(const embmath_rows* rows, double threshold, uint8_t flip, void* codes, int device,
                                           void* stream) {
    if (const embmath_cuda_status status = check_floats(*rows); status != EMBMATH_CUDA_OK) return status;
    const DeviceGuard guard(device);
    if (guard.status() != EMBMATH_CUDA_OK) return guard.status();
    if (rows->n_rows == 0) return EMBMATH_CUDA_OK;
    const std::int64_t n_bytes = (rows->n_cols + 7) / 8;
    const int log_lanes = log_lanes_for((n_bytes + kBytesTogether - 1) / kBytesTogether);
    const PackBitsArgs args{rows_of(*rows), log_lanes, threshold, flip, static_cast<std::uint8_t*>(codes)};
    visit_floats(static_cast<Dtype>(rows->dtype), [&](auto traits) {
        using D = decltype(traits);
        const auto kernel = has_whole_pieces(args.rows, 8, rows->n_cols) ? &pack_bits<D, true> : &pack_bits<D, false>;
        launch<PackBitsArgs>(kernel, {blocks_for(rows->n_rows, kWalkThreads >> log_lanes), 1, kWalkThreads, 0},
                             static_cast<Stream>(stream), args);
    });
    return guard.launched();
}

}  // extern "C"
