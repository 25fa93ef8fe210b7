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
            // scan stays at 9 of 15 GB/s without. A prefetch past the last row never faults.
            __builtin_prefetch(ahead[r] + col, 0, 2);
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

template <class I>
EMBMATH_INLINE double sum_counts(typename I::I32 counts) noexcept {
    Buffer<std::uint32_t> lanes;
    I::store(lanes.lane, counts);
    std::uint64_t total = 0;
    for (int l = 0; l < kLanes; ++l) total += lanes.lane[l];
    return static_cast<double>(total);
}

// Packed bits. hamming: sums[2 r] = differing bits; jaccard: bits in both, bits in either.
template <class I, CanonicalOp op>
EMBMATH_INLINE void count_row(const std::uint8_t* query, const std::uint8_t* row, std::size_t n_bytes, double* sums) noexcept {
    constexpr std::size_t kBytes = kLanes * sizeof(std::uint32_t);
    auto first = I::broadcast(std::uint32_t{0});
    auto second = first;
    for (std::size_t byte = 0; byte < n_bytes; byte += kBytes) {
        const std::size_t n = n_bytes - byte < kBytes ? n_bytes - byte : kBytes;
        Buffer<std::uint32_t> q_words{}, x_words{};
        __builtin_memcpy(q_words.lane, query + byte, n);
        __builtin_memcpy(x_words.lane, row + byte, n);
        const auto a = I::load(q_words.lane);
        const auto b = I::load(x_words.lane);
        const auto differing = I::popcount(I::bit_xor(a, b));
        if constexpr (op == CanonicalOp::hamming) {
            first = I::add(first, differing);
        } else {
            const auto both = I::popcount(I::bit_and(a, b));
            first = I::add(first, both);
            second = I::add(second, I::add(both, differing));
        }
    }
    sums[0] = sum_counts<I>(first);
    sums[1] = sum_counts<I>(second);
}

template <class I, CanonicalOp op>
void count_bits(const void* query, const void* const* rows, const void* const*, int n_rows, std::size_t n_bytes,
                double* sums) noexcept {
    for (int row = 0; row < n_rows; ++row) {
        count_row<I, op>(static_cast<const std::uint8_t*>(query), static_cast<const std::uint8_t*>(rows[row]), n_bytes,
                         sums + 2 * row);
    }
}

}  // namespace embmath::kernel
