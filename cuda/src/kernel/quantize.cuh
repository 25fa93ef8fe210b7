// Rows into scalar codes, on ranges given or their own: read once, written once.
#pragma once

#include "device/extremes.cuh"
#include "kernel/arguments.cuh"
#include "kernel/coder.cuh"
#include "kernel/walk.cuh"

namespace embmath::cuda {

// Pairs of pieces that a lane keeps between looking for a row's range and laying codes over it: rows of
// 1024 float32, of 2048 shorter numbers. What is longer is read again, out of a cache.
template <bool is_whole>
inline constexpr int kHeldPairs = is_whole ? 4 : 1;
// Rows that a lane loads before it writes the codes of the first.
template <bool is_whole, bool is_split>
inline constexpr int kRowsAtOnce = !is_whole ? 1 : is_split ? 2 : 4;

struct QuantizeRowsArgs {
    Rows rows;
    Walk walk;
    Coder coder;
    float *minimum, *step;  // per row; no minimum of symmetric codes
    unsigned* before_bad;   // raised to 2^32 - 1 minus the first row without a finite range
};

// The range of a row as all its lanes know it, in the form that codes are laid over; lane 0 notes it.
template <class D>
__device__ __forceinline__ Quotient note_range(const QuantizeRowsArgs& args, const Extremes<D>& seen, std::int64_t row) {
    const CodeFormat& format = args.coder.format;
    // The sum turns a zero that is negative by accident of the lanes into zero.
    const float least = seen.low() + 0.0F, most = seen.high() + 0.0F;
    const float low = format.is_symmetric ? 0.0F : least, high = format.is_symmetric ? greater(most, -least) : most;
    const float span = high - low;
    if (args.walk.lane() == 0 && row < args.rows.n_rows) {
        args.step[row] = core::step_of(low, high, format.levels);
        if (args.minimum != nullptr) args.minimum[row] = low;
        if (span - span != 0.0F) atomicMax(args.before_bad, 0xffffffffu - static_cast<unsigned>(row));
    }
    return {low, core::divisor_of(low, high, format)};
}

struct RowGrid {
    Quotient all;

    __device__ __forceinline__ float operator()(int, float x) const { return all.of(x); }
};

template <class D, bool is_whole>
__global__ void __launch_bounds__(kWalkThreads) quantize_rows(const QuantizeRowsArgs args) {
    const Walk& walk = args.walk;
    const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * walk.rows_per_block() + walk.row_in_block();
    const bool is_real = row < args.rows.n_rows;  // the others' lanes stay for the shuffles
    const typename D::storage* x = args.rows.row<D>(is_real ? row : 0);
    PiecePair<D> held[kHeldPairs<is_whole>];
    EMBMATH_UNROLL
    for (int pair = 0; pair < kHeldPairs<is_whole>; ++pair) {
        if (walk.column(pair) < walk.end) held[pair] = load_pair<D, is_whole>(x, walk, walk.column(pair));
    }
    Extremes<D> seen;
    const auto see = [&](const PiecePair<D>& pair) {
        seen.add(pair.first);
        seen.add(pair.second);
    };
    EMBMATH_UNROLL
    for (int pair = 0; pair < kHeldPairs<is_whole>; ++pair) {
        if (walk.column(pair) < walk.end) see(held[pair]);
    }
    const int rest = walk.column(kHeldPairs<is_whole>);
    for (int col = rest; col < walk.end; col += walk.stride) see(load_pair<D, is_whole>(x, walk, col));
    seen.share(walk.lanes());
    const RowGrid grid{note_range(args, seen, row)};
    if (!is_real) return;
    const auto write = [&](int col, const PiecePair<D>& pair) {
        const Coder& coder = args.coder;
        const int other = col + walk.apart, n = walk.end - col, n_other = walk.n_cols - other;
        const auto codes = codes_of<D, is_whole>(coder.rule, pair.first, n, grid);
        if (coder.bytes != CodeBytes::split) store_piece<D, is_whole>(coder, row, col, codes, n);
        if (n_other <= 0) return;
        const auto others = codes_of<D, is_whole>(coder.rule, pair.second, n_other, grid);
        if (coder.bytes != CodeBytes::split) return store_piece<D, is_whole>(coder, row, other, others, n_other);
        store_halves<D, is_whole>(coder, row, col, codes, others, n);
    };
    EMBMATH_UNROLL
    for (int pair = 0; pair < kHeldPairs<is_whole>; ++pair) {
        if (walk.column(pair) < walk.end) write(walk.column(pair), held[pair]);
    }
    for (int col = rest; col < walk.end; col += walk.stride) write(col, load_pair<D, is_whole>(x, walk, col));
}

struct QuantizeArgs {
    Rows rows;
    Walk walk;
    Coder coder;
    const float *low, *high;  // one for each column, or one for all
    bool per_column;
};

template <class D>
struct ColumnGrids {
    Quotient column[Piece<D>::kCount];

    // Of the columns of a piece; the last one's beyond the row.
    __device__ __forceinline__ ColumnGrids(const QuantizeArgs& args, int first) {
        EMBMATH_UNROLL
        for (int i = 0; i < Piece<D>::kCount; ++i) {
            const int col = !args.per_column ? 0 : first + i < args.walk.n_cols ? first + i : args.walk.n_cols - 1;
            column[i] = {args.low[col], core::divisor_of(args.low[col], args.high[col], args.coder.format)};
        }
    }
    __device__ __forceinline__ float operator()(int i, float x) const { return column[i].of_any(x); }
};

// A lane keeps its columns and their grids, and goes down the rows.
template <class D, bool is_whole, bool is_split>
__global__ void __launch_bounds__(kWalkThreads) quantize(const QuantizeArgs args) {
    constexpr int kRows = kRowsAtOnce<is_whole, is_split>, kPieces = is_split ? 2 : 1;
    const Walk& walk = args.walk;
    const int col = walk.column(static_cast<int>(blockIdx.x)), n = walk.end - col;
    if (n <= 0) return;
    const ColumnGrids<D> grids(args, col), other_grids(args, col + walk.apart);  // the others where halves share bytes
    const std::int64_t step = static_cast<std::int64_t>(gridDim.y) * walk.rows_per_block();
    std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * walk.rows_per_block() + walk.row_in_block();
    for (; row < args.rows.n_rows; row += step * kRows) {
        Piece<D> pieces[kRows][kPieces];
        EMBMATH_UNROLL
        for (int r = 0; r < kRows; ++r) {
            if (row + r * step >= args.rows.n_rows) break;
            const typename D::storage* x = args.rows.row<D>(row + r * step) + col;
            EMBMATH_UNROLL
            for (int p = 0; p < kPieces; ++p) pieces[r][p] = load_piece<D, is_whole>(x + p * walk.apart, n);
        }
        EMBMATH_UNROLL
        for (int r = 0; r < kRows; ++r) {
            if (row + r * step >= args.rows.n_rows) break;
            const auto codes = codes_of<D, is_whole>(args.coder.rule, pieces[r][0], n, grids);
            if constexpr (is_split) {
                const auto others = codes_of<D, is_whole>(args.coder.rule, pieces[r][1], n, other_grids);
                store_halves<D, is_whole>(args.coder, row + r * step, col, codes, others, n);
            } else {
                store_piece<D, is_whole>(args.coder, row + r * step, col, codes, n);
            }
        }
    }
}

}  // namespace embmath::cuda
