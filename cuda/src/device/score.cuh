// The canonical score of a (query, row) pair, by sixteen lanes.
#pragma once

#include "core/metrics.hpp"
#include "core/order_key.hpp"
#include "device/lanes.cuh"
#include "embmath/types.hpp"

namespace embmath::cuda {

// Sums over the columns of `kRows` rows at a time, so that their loads overlap. Each lane takes every
// sixteenth column, in ascending order. Sums of integers are exact in any order.
template <class Kind, class Term, bool kHasNorms, int kRows>
__device__ __forceinline__ void lane_sums(const typename Kind::Query::storage* q,
                                          const typename Kind::Row::storage* const (&x)[kRows], std::int64_t n_cols,
                                          double (&sums)[kRows], double (&norms)[kRows]) {
    EMBMATH_UNROLL
    for (int r = 0; r < kRows; ++r) sums[r] = norms[r] = 0.0;
    for (std::int64_t col = lane_of_row(); col < n_cols; col += kLanes) {
        const double own = Kind::Query::to_f64(q[col]);
        EMBMATH_UNROLL
        for (int r = 0; r < kRows; ++r) {
            const double value = Kind::Row::to_f64(x[r][col]);
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

// The score of row l % kRows for lane l: each lane finishes one. Distances as they are, not negated;
// rounded to what results hold, float32 or integers.
template <class Kind, int kRows>
__device__ __forceinline__ double canonical_score(Metric metric, const typename Kind::Query::storage* q, double sq_query,
                                                  const typename Kind::Row::storage* const (&x)[kRows], std::int64_t n_cols) {
    double sums[kRows], norms[kRows];
    if constexpr (Kind::has_bits) {
        lane_sums<Kind, DifferentBitsTerm, false>(q, x, n_cols, sums, norms);
    } else if (metric == Metric::cosine) {
        lane_sums<Kind, DotTerm, true>(q, x, n_cols, sums, norms);
    } else if (metric == Metric::dot) {
        lane_sums<Kind, DotTerm, false>(q, x, n_cols, sums, norms);
    } else {
        lane_sums<Kind, SquaredDifferenceTerm, false>(q, x, n_cols, sums, norms);
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
    if (Kind::has_integer_scores(metric)) return sum;
    if (metric == Metric::cosine) sum = cosine_of(sum, sq_query, norms[0]);
    if (metric == Metric::euclidean) sum = __dsqrt_rn(sum);
    return static_cast<double>(__double2float_rn(sum));
}

// Larger is better.
__device__ __forceinline__ double oriented(Metric metric, double score) { return core::is_similarity(metric) ? score : -score; }

// Of an oriented score. Zeros of either sign are the same score; NaN comes after every score there is.
template <class Kind>
__device__ __forceinline__ core::Key score_key(Metric metric, double score, std::uint32_t row) {
    std::uint32_t order = 1;
    if (Kind::has_integer_scores(metric)) {
        order = static_cast<std::uint32_t>(static_cast<std::int32_t>(score)) ^ 0x80000000u;
    } else if (score == score) {
        order = core::order_bits(score == 0.0 ? 0.0F : static_cast<float>(score));
    }
    return static_cast<core::Key>(order) << 32 | static_cast<std::uint32_t>(~row);
}

// As results hold it: 32 bits either way.
template <class Kind>
__device__ __forceinline__ std::uint32_t score_bits(Metric metric, double score) {
    if (Kind::has_integer_scores(metric)) return static_cast<std::uint32_t>(static_cast<std::int32_t>(score));
    return core::bit_cast<std::uint32_t>(static_cast<float>(score));
}

// Where there is no row: NaN, or the worst integer.
template <class Kind>
__device__ __forceinline__ std::uint32_t missing_bits(Metric metric) {
    if (Kind::has_integer_scores(metric)) return core::is_similarity(metric) ? 0x80000000u : 0x7fffffffu;
    return 0x7fc00000u;
}

}  // namespace embmath::cuda
