// The certificate of the float16 stage: products on matrix units, for host and device alike.
//
// Notation. A row x is stored as x^ = fl16(2^-e x), e such that its largest element lies in [128, 256)
// (so that all but elements 2^21 below it keep 11 bits), with rho_x >= |x - 2^e x^| / |x|, measured;
// a query likewise, exponent f. The matrix unit returns v. Matrix units align the terms of a step of
// 8 or 16 products to the largest, cut them at 24 or 25 bits and cut the sum to float32: an error of
// at most 5.5 * 2^-23 of the largest partial sum per step (bit models: arXiv 2511.10909, 2512.07004),
// hence, like any chain of float32 roundings,
//
//   |v - <q^, x^>| <= (d + 16) 2^-23 |q^||x^|
//   |<q, x> - 2^(e+f) v| <= c |q||x|,   c = rho_q + (1 + rho_q) rho + (1 + rho_q)(1 + rho)(d + 16) 2^-23
//
// with rho the largest of all rows seen so far. In units of 2^f a score is bounded by
//
//   upper = v * mul + off * unit + err * weight
//
//             score          mul         off           err   unit    weight
//   cosine    |q| s          2^e / |x|   0             1     0       c |q| 2^-f
//   dot       s              2^e         0             |x|   0       c |q| 2^-f
//   distances (|q|^2 - s)/2  2^e         -|x|^2 / 2    |x|   2^-f    c |q| 2^-f
//
// 2^-19 in c pays for float32: mul, err, weight (1 each), the three sums (3) and the rounding of the
// canonical score (1), all relative to |q||x|, four times over; `off` is smaller than it should be by
// 2^-21, which pays for what those roundings are relative to |x|^2. A row below the k-th best upper
// bound by more than `margin`, the width of an interval, is worse than k others:
//
//   margin = 2 weight err_max + unit (2^-20 err_max^2) + 2^-21 |q|^2 2^-f   (the last two: distances)
//
// Bytes are codes as they are: e = 0, rho = 0, and their sums are integers, of which only the conversion
// to float32 costs 2^-24 |q||x|. Of bits, v counts the ones in common; the Hamming distance is
// |q|^2 + |x|^2 - 2 v, whose terms are whole numbers below 2^24: upper = v - |x|^2 / 2 is exact, the margin 0.
//
// One margin for all rows keeps a candidate at 64 bits. The price is paid by dot products and distances of
// rows of very unequal lengths: the longest one widens the interval of all.
#pragma once

#include <math.h>

#include "core/metrics.hpp"
#include "embmath/types.hpp"

namespace embmath::core {

inline constexpr int kHalfTop = 7;  // the largest element lies in [2^7, 2^8)
// Beyond this float32 bounds of products could overflow or vanish.
inline constexpr int kMaxHalfExponent = 50;

// At least `value` >= 0, in float32; rounds to nearest after adding more than half a unit.
EMBMATH_INLINE float above(double value) { return static_cast<float>(value * (1.0 + 0x1p-23) + 0x1p-149); }

enum class RowState : std::uint8_t { bounded, unbounded, excluded };

struct HalfRow {
    float mul, off, err;
};

// What a row contributes: its exact |x|^2, the exponent e and |x - 2^e x^|^2, both in float64.
struct HalfMeasure {
    double sq_norm, sq_residual;
    int exponent;
};

EMBMATH_INLINE RowState half_state(Metric metric, const HalfMeasure& row) {
    if (row.sq_norm != row.sq_norm) return RowState::excluded;  // NaN comes after all scores
    if (row.sq_norm == 0.0 || metric == Metric::hamming) return RowState::bounded;
    const bool is_usable = metric == Metric::cosine || (row.exponent >= -kMaxHalfExponent && row.exponent <= kMaxHalfExponent);
    return row.sq_norm < HUGE_VAL && is_usable ? RowState::bounded : RowState::unbounded;
}

EMBMATH_INLINE HalfRow half_row(Metric metric, const HalfMeasure& row) {
    const RowState state = half_state(metric, row);
    if (state == RowState::excluded) return {0.0F, -HUGE_VALF, 0.0F};
    if (state == RowState::unbounded) return {0.0F, HUGE_VALF, 0.0F};
    if (metric == Metric::hamming) return {1.0F, static_cast<float>(-0.5 * row.sq_norm), 0.0F};
    const double scale = ldexp(1.0, row.exponent), norm = sqrt(row.sq_norm);
    if (metric == Metric::cosine) return {norm > 0.0 ? static_cast<float>(scale / norm) : 0.0F, 0.0F, 1.0F};
    const float err = norm > 0.0 ? above(norm) : 0.0F;
    if (metric == Metric::dot) return {static_cast<float>(scale), 0.0F, err};
    return {static_cast<float>(scale), static_cast<float>(-0.5 * (1.0 - 0x1p-21) * row.sq_norm), err};
}

// rho, of a bounded row.
EMBMATH_INLINE float half_residual(const HalfMeasure& row) {
    return row.sq_norm > 0.0 ? above(sqrt(row.sq_residual / row.sq_norm) * (1.0 + 0x1p-40)) : 0.0F;
}

// What all rows so far have in common; `has_unbounded`: some row must be scored whatever the threshold,
// `has_excluded`: some row is a result only where nothing else is left.
struct HalfRange {
    float largest_err, largest_residual;
    std::uint32_t has_unbounded, has_excluded;
};

struct HalfGate {
    float unit, weight, margin;
    std::uint32_t is_bounded;
};

// Of float16 codes on a matrix unit.
EMBMATH_INLINE double half_product_error(std::int64_t n_cols) { return static_cast<double>(n_cols + 16) * 0x1p-23; }

// `product_error`: |v - <q^, x^>| over |q^||x^|.
EMBMATH_INLINE HalfGate half_gate(Metric metric, const HalfMeasure& query, double product_error, const HalfRange& range) {
    if (metric == Metric::hamming) return {1.0F, 0.0F, 0.0F, 1};
    const bool is_usable = half_state(metric, query) == RowState::bounded && query.sq_norm > 0.0;
    if (!is_usable || range.has_unbounded != 0) return {0.0F, 0.0F, 0.0F, 0};
    const double own = half_residual(query), rho = range.largest_residual, reach = range.largest_err;
    const double sums = (1.0 + own) * (1.0 + rho) * product_error;
    const double c = own + (1.0 + own) * rho + sums + 0x1p-19;
    const double unit = ldexp(1.0, -query.exponent), norm = sqrt(query.sq_norm);
    const float weight = above(c * norm * unit);
    double margin = 2.0 * static_cast<double>(weight) * reach;
    if (is_euclidean(metric)) margin += unit * (0x1p-20 * reach * reach + 0x1p-21 * query.sq_norm);
    return {is_euclidean(metric) ? static_cast<float>(unit) : 0.0F, weight, above(margin), 1};
}

// What the upper bounds of all rows reach whose score is within `threshold`, in the same units. Of a
// distance the bound holds but for what its roundings are relative to |q|^2 (see margin); a root that
// rounds to the threshold may be of a square 2^-22 above its own.
EMBMATH_INLINE float half_least(Metric metric, const HalfMeasure& query, const HalfRange& range, double threshold) {
    if (metric == Metric::euclidean && threshold < 0.0) return HUGE_VALF;
    const double unit = ldexp(1.0, -query.exponent), reach = range.largest_err;
    double least = threshold * unit;
    if (metric == Metric::cosine) least *= sqrt(query.sq_norm);
    if (metric == Metric::hamming) least = 0.5 * (query.sq_norm - threshold);
    if (is_euclidean(metric)) {
        const double square = metric == Metric::euclidean ? threshold * threshold * (1.0 + 0x1p-22) : threshold;
        least = unit * (0.5 * (query.sq_norm - square) - 0x1p-20 * reach * reach - 0x1p-21 * query.sq_norm);
    }
    return static_cast<float>(least - fabs(least) * 0x1p-22 - 0x1p-149);
}

EMBMATH_INLINE float half_upper(float v, const HalfRow& row, const HalfGate& gate) {
    return fmaf(v, row.mul, fmaf(row.off, gate.unit, row.err * gate.weight));
}

}  // namespace embmath::core
