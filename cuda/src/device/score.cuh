// The canonical score of a (query, row) pair, by sixteen lanes.
#pragma once

#include "device/lanes.cuh"
#include "embmath/types.hpp"

namespace embmath::cuda {

// Sums over the columns of `kRows` rows at a time, so that their loads overlap. Each lane takes every
// sixteenth column, in ascending order.
template <class D, class Term, bool kHasNorms, int kRows>
__device__ __forceinline__ void lane_sums(const float* q, const typename D::storage* const (&x)[kRows], std::int64_t n_cols,
                                          double (&sums)[kRows], double (&norms)[kRows]) {
    EMBMATH_UNROLL
    for (int r = 0; r < kRows; ++r) sums[r] = norms[r] = 0.0;
    for (std::int64_t col = lane_of_row(); col < n_cols; col += kLanes) {
        const double own = q[col];
        EMBMATH_UNROLL
        for (int r = 0; r < kRows; ++r) {
            const double value = D::to_f64(x[r][col]);
            sums[r] = Term::add(sums[r], own, value);
            if constexpr (kHasNorms) norms[r] = DotTerm::add(norms[r], value, value);
        }
    }
    EMBMATH_UNROLL
    for (int r = 0; r < kRows; ++r) {
        sums[r] = tree_sum(sums[r]);
        if constexpr (kHasNorms) norms[r] = tree_sum(norms[r]);
    }
}

__device__ __forceinline__ double cosine_of(double dot, double sq_query, double sq_row) {
    const double norms = __dmul_rn(__dsqrt_rn(sq_query), __dsqrt_rn(sq_row));
    // A row without direction is similar to nothing; a NaN is never hidden behind that rule.
    if (norms == 0.0 && dot == dot) return 0.0;
    const double value = __ddiv_rn(dot, norms);
    return value > 1.0 ? 1.0 : value < -1.0 ? -1.0 : value;
}

// The score of row l % kRows for lane l: each lane finishes one. Distances as they are, not negated.
template <class D, int kRows>
__device__ __forceinline__ float canonical_score(Metric metric, const float* q, double sq_query,
                                                 const typename D::storage* const (&x)[kRows], std::int64_t n_cols) {
    double sums[kRows], norms[kRows];
    if (metric == Metric::cosine) {
        lane_sums<D, DotTerm, true>(q, x, n_cols, sums, norms);
    } else if (metric == Metric::dot) {
        lane_sums<D, DotTerm, false>(q, x, n_cols, sums, norms);
    } else {
        lane_sums<D, SquaredDifferenceTerm, false>(q, x, n_cols, sums, norms);
    }
    // By bits: choosing among registers by a number would put them in local memory.
    EMBMATH_UNROLL
    for (int half = kRows / 2; half > 0; half /= 2) {
        EMBMATH_UNROLL
        for (int r = 0; r < half; ++r) {
            sums[r] = lane_of_row() & half ? sums[r + half] : sums[r];
            norms[r] = lane_of_row() & half ? norms[r + half] : norms[r];
        }
    }
    double sum = sums[0];
    if (metric == Metric::cosine) sum = cosine_of(sum, sq_query, norms[0]);
    if (metric == Metric::euclidean) sum = __dsqrt_rn(sum);
    return __double2float_rn(sum);
}

// Larger is better.
__device__ __forceinline__ float oriented(Metric metric, float score) {
    return metric == Metric::cosine || metric == Metric::dot ? score : -score;
}

}  // namespace embmath::cuda
