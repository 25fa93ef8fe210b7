// The canonical sums: float64, sixteen strided lanes in ascending dimension, added as a tree.
//
// A product of two float32 (or narrower) values is exact in float64, so fused and separate forms
// give the same bits and the faster one is used; everything else is rounded before it is added.
// Zero padding of a tail adds +0 to lanes that are never -0, hence changes nothing.
#pragma once

#include "core/compiler.hpp"
#include "kernel/load.hpp"
#include "kernel/table.hpp"

namespace embmath::kernel {

constexpr bool is_separate(CanonicalOp op) {
    return op == CanonicalOp::dot_separate || op == CanonicalOp::dot_norm_separate || op == CanonicalOp::norm_separate;
}
constexpr bool has_dot(CanonicalOp op) {
    return op == CanonicalOp::dot || op == CanonicalOp::dot_separate || op == CanonicalOp::dot_norm ||
           op == CanonicalOp::dot_norm_separate;
}
constexpr bool has_norm(CanonicalOp op) {
    return op == CanonicalOp::norm || op == CanonicalOp::norm_separate || op == CanonicalOp::dot_norm ||
           op == CanonicalOp::dot_norm_separate;
}

template <class I, CanonicalOp op>
EMBMATH_INLINE typename I::F64 accumulate(typename I::F64 acc, typename I::F64 a, typename I::F64 b) noexcept {
    if constexpr (is_separate(op)) {
        return I::add(acc, I::mul(a, b));
    } else {
        return I::fma(a, b, acc);
    }
}

template <class I, CanonicalOp op>
struct CanonicalState {
    typename I::F64 sum = I::broadcast(0.0);
    typename I::F64 norm = I::broadcast(0.0);

    EMBMATH_INLINE void step(const double* query, typename I::F64 x) noexcept {
        if constexpr (has_dot(op)) sum = accumulate<I, op>(sum, I::load(query), x);
        if constexpr (has_norm(op)) norm = accumulate<I, op>(norm, x, x);
        if constexpr (op == CanonicalOp::sqdiff) {
            const auto diff = I::sub(I::load(query), x);
            sum = I::add(sum, I::mul(diff, diff));
        }
        if constexpr (op == CanonicalOp::absdiff) sum = I::add(sum, I::abs(I::sub(I::load(query), x)));
    }
};

// R rows side by side: their chains overlap, and so do their cache misses. One row alone is bound by
// the latency of its additions (4 cycles per 16 dimensions).
template <class I, class D, CanonicalOp op, int R>
EMBMATH_INLINE void canonical_rows(const double* query, const void* const* rows, const void* const* next,
                                   std::size_t n_cols, double* sums) noexcept {
    const typename D::storage *x[R], *ahead[R];
    CanonicalState<I, op> state[R];
    EMBMATH_UNROLL
    for (int r = 0; r < R; ++r) {
        x[r] = static_cast<const typename D::storage*>(rows[r]);
        ahead[r] = static_cast<const typename D::storage*>(next[r]);
    }
    std::size_t col = 0;
    for (; col + kLanes <= n_cols; col += kLanes) {
        EMBMATH_UNROLL
        for (int r = 0; r < R; ++r) {
            // Into L2: float64 sums fill the scheduler before enough cache misses are in flight, and a
            // scan stays at 9 of 15 GB/s without.
            prefetch_lanes(ahead[r] + col);
            state[r].step(query + col, load_f64<I, D>(x[r] + col));
        }
    }
    EMBMATH_UNROLL
    for (int r = 0; r < R; ++r) {
        if (col < n_cols) state[r].step(query + col, load_f64_tail<I, D>(x[r] + col, n_cols - col));
        sums[2 * r] = I::sum(state[r].sum);
        sums[2 * r + 1] = I::sum(state[r].norm);
    }
}

// sums[2 r]: the product or distance sum of row r; sums[2 r + 1]: its squared norm, where the op has one.
template <class I, class D, CanonicalOp op>
void canonical(const void* query, const void* const* rows, const void* const* next, int n_rows, std::size_t n_cols,
               double* sums) noexcept {
    constexpr int kRows = I::canonical_rows;
    const auto* q = static_cast<const double*>(query);
    int row = 0;
    for (; row + kRows <= n_rows; row += kRows) {
        canonical_rows<I, D, op, kRows>(q, rows + row, next + row, n_cols, sums + 2 * row);
    }
    for (; row < n_rows; ++row) canonical_rows<I, D, op, 1>(q, rows + row, next + row, n_cols, sums + 2 * row);
}

// Packed bits. hamming: sums[2 r] = differing bits; jaccard: bits in both, bits in either.
template <class I, CanonicalOp op>
struct CountState {
    typename I::I32 first = I::broadcast(std::uint32_t{0});
    typename I::I32 second = I::broadcast(std::uint32_t{0});

    EMBMATH_INLINE void step(typename I::I32 query, typename I::I32 x) noexcept {
        const auto differing = I::popcount(I::bit_xor(query, x));
        if constexpr (op == CanonicalOp::hamming) {
            first = I::add(first, differing);
        } else {
            const auto both = I::popcount(I::bit_and(query, x));
            first = I::add(first, both);
            second = I::add(second, I::add(both, differing));
        }
    }
};

// Rows side by side: what their counts are added up by.
inline constexpr int kCountRows = 4;

// R: kCountRows, or 1.
template <class I, CanonicalOp op, int R>
EMBMATH_INLINE void count_rows(const std::uint8_t* query, const void* const* rows, const void* const* next,
                               std::size_t n_bytes, double* sums) noexcept {
    constexpr std::size_t kBytes = kLanes * sizeof(std::uint32_t);
    const std::uint8_t *x[R], *ahead[R];
    CountState<I, op> state[R];
    EMBMATH_UNROLL
    for (int r = 0; r < R; ++r) {
        x[r] = static_cast<const std::uint8_t*>(rows[r]);
        ahead[r] = static_cast<const std::uint8_t*>(next[r]);
    }
    std::size_t byte = 0;
    for (; byte + kBytes <= n_bytes; byte += kBytes) {
        const auto words = I::load(query + byte);
        EMBMATH_UNROLL
        for (int r = 0; r < R; ++r) {
            // The hardware starts anew with every page of 42 rows: 2.5 instead of 4 ns for one of 96 bytes.
            __builtin_prefetch(ahead[r] + byte, 0, 3);
            state[r].step(words, I::load(x[r] + byte));
        }
    }
    if (byte < n_bytes) {
        const auto words = I::load_part(query + byte, n_bytes - byte);
        EMBMATH_UNROLL
        for (int r = 0; r < R; ++r) {
            __builtin_prefetch(ahead[r] + byte, 0, 3);
            state[r].step(words, I::load_part(x[r] + byte, n_bytes - byte));
        }
    }
    std::uint32_t first[R], second[R] = {};
    if constexpr (R == kCountRows) {
        I::sum_each(state[0].first, state[1].first, state[2].first, state[3].first, first);
        if constexpr (op == CanonicalOp::jaccard) {
            I::sum_each(state[0].second, state[1].second, state[2].second, state[3].second, second);
        }
    } else {
        first[0] = I::sum(state[0].first);
        second[0] = I::sum(state[0].second);
    }
    EMBMATH_UNROLL
    for (int r = 0; r < R; ++r) {
        // Signed: unsigned numbers take longer to convert, and no row has 2^31 bits.
        sums[2 * r] = static_cast<double>(static_cast<std::int32_t>(first[r]));
        sums[2 * r + 1] = static_cast<double>(static_cast<std::int32_t>(second[r]));
    }
}

template <class I, CanonicalOp op>
void count_bits(const void* query, const void* const* rows, const void* const* next, int n_rows, std::size_t n_bytes,
                double* sums) noexcept {
    const auto* q = static_cast<const std::uint8_t*>(query);
    int row = 0;
    for (; row + kCountRows <= n_rows; row += kCountRows) {
        count_rows<I, op, kCountRows>(q, rows + row, next + row, n_bytes, sums + 2 * row);
    }
    for (; row < n_rows; ++row) count_rows<I, op, 1>(q, rows + row, next + row, n_bytes, sums + 2 * row);
}

}  // namespace embmath::kernel
