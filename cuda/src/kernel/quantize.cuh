// Rows into scalar codes, on ranges given or their own: read once, written once.
#pragma once

#include "core/code_grid.hpp"
#include "device/extremes.cuh"
#include "device/pieces.cuh"
#include "device/quotient.cuh"
#include "kernel/arguments.cuh"
#include "kernel/walk.cuh"

namespace embmath::cuda {

// Pairs of pieces that a lane keeps between looking for a row's range and laying codes over it: rows of
// 1024 float32, of 2048 shorter numbers. What is longer is read again, out of a cache.
inline constexpr int kHeldPairs = 4;
// Rows that a lane loads before it writes the codes of the first; a single one element by element.
template <bool is_whole>
inline constexpr int kRowsAtOnce = is_whole ? 2 : 1;

enum class CodeBytes : int { one, interleaved, split };

struct Coder {
    CodeFormat format;
    core::PlaceRule rule;
    CodeBytes bytes;
    std::int64_t row_bytes;
    std::uint8_t* out;
};

// A code for each number of a piece, in a byte each.
template <class D>
struct PieceCodes {
    static constexpr int kWords = Piece<D>::kCount / 4;
    std::uint32_t words[kWords];
};

__device__ __forceinline__ std::uint32_t join_bytes(const int (&code)[4]) {
    const auto low = __byte_perm(static_cast<unsigned>(code[0]), static_cast<unsigned>(code[1]), 0x0040);
    const auto high = __byte_perm(static_cast<unsigned>(code[2]), static_cast<unsigned>(code[3]), 0x0040);
    return __byte_perm(low, high, 0x5410);
}

// `quotient(i, x)`: of x in column i of the piece. Codes beyond the row are 0.
template <class D, bool is_whole, class GridOf>
__device__ __forceinline__ PieceCodes<D> codes_of(const core::PlaceRule& rule, const Piece<D>& piece, int left,
                                                          const GridOf& quotient) {
    const float half = rule.to_nearest ? 0.5F : 0.0F;
    const std::uint32_t flip = rule.bias == 0 ? 0u : 0x80808080u;  // minus 128
    PieceCodes<D> codes;
    EMBMATH_UNROLL
    for (int w = 0; w < PieceCodes<D>::kWords; ++w) {
        int code[4];
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) {
            const int col = 4 * w + i;
            const float place = __fmaf_rn(quotient(col, piece[col]), rule.factor, rule.shift);
            const float inside = fminf(fmaxf(place, rule.low), rule.high);
            // Half a step outwards and cut off; a sum that rounded up could pass a whole number.
            code[i] = static_cast<int>(__fadd_rz(inside, copysignf(half, inside)));
            if constexpr (!is_whole) code[i] = col < left ? code[i] : 0;
        }
        codes.words[w] = join_bytes(code) ^ flip;
    }
    return codes;
}

// Neighbours share a byte.
__device__ __forceinline__ std::uint16_t join_nibbles(std::uint32_t word) {
    const std::uint32_t even = (word | word >> 4) & 0x00ff00ffu;
    return static_cast<std::uint16_t>(even | even >> 8);
}

template <class D, bool is_whole>
__device__ __forceinline__ void store_codes(std::uint8_t* p, const PieceCodes<D>& codes, int n) {
    if constexpr (PieceCodes<D>::kWords == 1) {
        store_bytes<is_whole>(p, codes.words[0], n);
    } else {
        store_bytes<is_whole>(p, codes.words[0] | static_cast<std::uint64_t>(codes.words[1]) << 32, n);
    }
}

template <class D, bool is_whole>
__device__ __forceinline__ void store_nibbles(std::uint8_t* p, const PieceCodes<D>& codes, int n) {
    if constexpr (PieceCodes<D>::kWords == 1) {
        store_bytes<is_whole>(p, join_nibbles(codes.words[0]), n);
    } else {
        const std::uint32_t low = join_nibbles(codes.words[0]), high = join_nibbles(codes.words[1]);
        store_bytes<is_whole>(p, low | high << 16, n);
    }
}

template <class D>
struct PiecePair {
    Piece<D> first, second;
};

// Codes of columns `col` and beyond; on the grids of either piece.
template <class D, bool is_whole, class GridOf>
__device__ __forceinline__ void write_pair(const Coder& coder, const Walk& walk, std::int64_t row, int col, const PiecePair<D>& pair,
                                           const GridOf& grid, const GridOf& other_grid) {
    std::uint8_t* out = coder.out + row * coder.row_bytes;
    const int other = col + walk.apart, n_first = walk.end - col, n_second = walk.n_cols - other;
    PieceCodes<D> first = codes_of<D, is_whole>(coder.rule, pair.first, n_first, grid), second;
    if (n_second > 0) second = codes_of<D, is_whole>(coder.rule, pair.second, n_second, other_grid);
    if (coder.bytes == CodeBytes::one) {
        store_codes<D, is_whole>(out + col, first, n_first);
        if (n_second > 0) store_codes<D, is_whole>(out + other, second, n_second);
    } else if (coder.bytes == CodeBytes::interleaved) {
        store_nibbles<D, is_whole>(out + col / 2, first, (n_first + 1) / 2);
        if (n_second > 0) store_nibbles<D, is_whole>(out + other / 2, second, (n_second + 1) / 2);
    } else {
        EMBMATH_UNROLL
        for (int w = 0; w < PieceCodes<D>::kWords; ++w) first.words[w] = first.words[w] << 4 | second.words[w];
        store_codes<D, is_whole>(out + col, first, n_first);
    }
}

// Columns `col` and beyond; the second piece is the first once more where the row has none.
template <class D, bool is_whole>
__device__ __forceinline__ PiecePair<D> load_pair(const typename D::storage* x, const Walk& walk, int col) {
    const int n_second = walk.n_cols - col - walk.apart;
    const bool has_second = n_second > 0;
    return {load_piece<D, is_whole>(x + col, walk.end - col),
            load_piece<D, is_whole>(x + col + (has_second ? walk.apart : 0), has_second ? n_second : walk.end - col)};
}

struct QuantizeRowsArgs {
    Rows rows;
    Walk walk;
    Coder coder;
    float *minimum, *step;   // per row; no minimum of symmetric codes
    unsigned* before_bad;    // raised to 2^32 - 1 minus the first row without a finite range
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
    PiecePair<D> held[kHeldPairs];
    EMBMATH_UNROLL
    for (int pair = 0; pair < kHeldPairs; ++pair) {
        if (walk.column(pair) < walk.end) held[pair] = load_pair<D, is_whole>(x, walk, walk.column(pair));
    }
    Extremes<D> seen;
    const auto see = [&](const PiecePair<D>& pair) {
        seen.add(pair.first);
        seen.add(pair.second);
    };
    EMBMATH_UNROLL
    for (int pair = 0; pair < kHeldPairs; ++pair) {
        if (walk.column(pair) < walk.end) see(held[pair]);
    }
    for (int col = walk.column(kHeldPairs); col < walk.end; col += walk.stride) see(load_pair<D, is_whole>(x, walk, col));
    seen.share(walk.lanes);
    const RowGrid grid{note_range(args, seen, row)};
    if (!is_real) return;
    const auto write = [&](int col, const PiecePair<D>& pair) {
        write_pair<D, is_whole>(args.coder, walk, row, col, pair, grid, grid);
    };
    EMBMATH_UNROLL
    for (int pair = 0; pair < kHeldPairs; ++pair) {
        if (walk.column(pair) < walk.end) write(walk.column(pair), held[pair]);
    }
    for (int col = walk.column(kHeldPairs); col < walk.end; col += walk.stride) write(col, load_pair<D, is_whole>(x, walk, col));
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
template <class D, bool is_whole>
__global__ void __launch_bounds__(kWalkThreads, is_whole ? 2 : 1) quantize(const QuantizeArgs args) {
    const Walk& walk = args.walk;
    const int col = walk.column(static_cast<int>(blockIdx.x));
    if (col >= walk.end) return;
    const ColumnGrids<D> grids(args, col), other_grids(args, col + walk.apart);
    const std::int64_t step = static_cast<std::int64_t>(gridDim.y) * walk.rows_per_block();
    std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * walk.rows_per_block() + walk.row_in_block();
    for (; row < args.rows.n_rows; row += step * kRowsAtOnce<is_whole>) {
        PiecePair<D> pairs[kRowsAtOnce<is_whole>];
        EMBMATH_UNROLL
        for (int r = 0; r < kRowsAtOnce<is_whole>; ++r) {
            if (row + r * step < args.rows.n_rows) pairs[r] = load_pair<D, is_whole>(args.rows.row<D>(row + r * step), walk, col);
        }
        EMBMATH_UNROLL
        for (int r = 0; r < kRowsAtOnce<is_whole>; ++r) {
            if (row + r * step >= args.rows.n_rows) break;
            write_pair<D, is_whole>(args.coder, walk, row + r * step, col, pairs[r], grids, other_grids);
        }
    }
}

}  // namespace embmath::cuda
