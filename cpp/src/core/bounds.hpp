// The certificate of the float32 stage: every formula by which a row may be discarded, in one place.
//
// Notation. u = 2^-24. A packed row x' is the stored row x in float32 after an exact scaling by a
// power of two, x = 2^e (x' + delta), |delta_j| <= u |x'_j| + 2^-150 (delta is zero unless x is
// float64 or has elements 2^126 below its largest). q' and its exponent f likewise. The tile returns
// p = fl(<q', x'>), a chain of d fused (or separately rounded) multiply-adds. Then
//
//   |p - <q', x'>| <= gamma(d + 1) |q'||x'|        gamma(m) = m u / (1 - m u)   (Higham, section 3.1)
//
// fused or not: no term passes through more than d + 1 roundings. Packing keeps the largest element
// of a row within [2^-40, 2^40], so what underflow adds (d 2^-149) stays below u |q'||x'|.
//
// slack(d) = gamma(1.5 d + 32) is used for every metric. It pays for: the chain (d + 1), a float32
// norm or its reciprocal ((d + 1)/2 + 3), both conversions (4), the float32 epilogue (4), the
// rounding of the canonical score to float32 (1), its float64 error (< 1), and leaves 20 to spare.
//
// A row is kept iff  mul * p + add_scale * add >= threshold,  rows given by (mul, add), queries by
// (add_scale, threshold); the left side is the row's upper bound in units of 2^f, and a row below
// the threshold has a canonical score strictly worse than tau. NaN compares as kept.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "embmath/types.hpp"

namespace embmath::core {

inline constexpr double kUnit = 0x1p-24;
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Beyond this dimension slack() would exceed 1/40 and the stage is not offered.
inline constexpr std::int64_t kMaxStageDim = std::int64_t{1} << 18;

// Rows scaled by more than this cannot share float32 units with others; they are always verified.
inline constexpr int kMaxExponent = 50;

// Beyond this (float64 input only) the canonical float64 sums themselves overflow or underflow, and
// no bound on exact arithmetic says anything about them.
inline constexpr int kMaxCanonicalExponent = 400;

inline bool shares_units(Metric metric, int exponent) {
    const int limit = metric == Metric::cosine ? kMaxCanonicalExponent : kMaxExponent;
    return exponent >= -limit && exponent <= limit;
}

inline double gamma(double m) { return m * kUnit / (1.0 - m * kUnit); }
inline double slack(std::int64_t d) { return gamma(1.5 * static_cast<double>(d) + 32.0); }

inline float round_down(double value) {
    const float nearest = static_cast<float>(value);
    return static_cast<double>(nearest) > value ? std::nextafter(nearest, -std::numeric_limits<float>::infinity())
                                                : nearest;
}

inline float round_up(double value) { return -round_down(-value); }

// What a row contributes. `mul` NaN: the row has no bound and always reaches the verifier.
struct RowTerms {
    float mul;
    float add;
};

inline RowTerms unbounded_row() { return {std::numeric_limits<float>::quiet_NaN(), 0.0F}; }

// `sq_norm` is the float32 chain for |x'|^2, relative error at most gamma(d + 1).
inline RowTerms row_terms(Metric metric, double sq_norm, int exponent, double slack) {
    if (!(sq_norm < kInfinity) || !shares_units(metric, exponent)) return unbounded_row();
    const double norm = std::sqrt(sq_norm);
    if (metric == Metric::cosine) {
        return {norm > 0.0 ? static_cast<float>(1.0 / norm) : 0.0F, 0.0F};
    }
    const double scale = std::ldexp(1.0, exponent);
    if (metric == Metric::dot) {
        // s <= 2^(e+f) (p + slack |q'||x'|)
        return {static_cast<float>(scale), round_up(scale * norm * (1.0 + slack))};
    }
    // |q-x|^2 >= (1-c)(|q|^2 + |x|^2) - 2 p 2^(e+f)   because 2|q||x| <= |q|^2 + |x|^2; 3c instead
    // of c also covers the float32 norm and the epilogue, whose terms are within |q|^2 + |x|^2.
    return {static_cast<float>(scale), round_up(-0.5 * (1.0 - 3.0 * slack) * sq_norm * scale * scale)};
}

// What a query contributes, in units of 2^exponent.
struct QueryTerms {
    Metric metric = Metric::dot;
    bool bounded = false;      // false: nothing may be discarded for this query
    double sq_norm = 0.0;      // |q|^2 of the stored values, float64
    int exponent = 0;          // f
    double slack = 0.0;
    float add_scale = 0.0F;
};

inline QueryTerms query_terms(Metric metric, double sq_norm, int exponent, double slack) {
    QueryTerms terms{metric, sq_norm < kInfinity && shares_units(metric, exponent), sq_norm, exponent, slack, 0.0F};
    const double unit = std::ldexp(1.0, -exponent);
    if (metric == Metric::dot) {
        terms.add_scale = round_up(slack * std::sqrt(sq_norm) * unit * (1.0 + 0x1p-20));
    } else if (metric == Metric::euclidean || metric == Metric::sqeuclidean) {
        terms.add_scale = static_cast<float>(unit);
    }
    return terms;
}

// Largest float32 t such that an upper bound below t proves a canonical score worse than `tau`.
// `tau` is oriented: similarities as they are, distances negated. -inf keeps everything.
inline float keep_threshold(const QueryTerms& query, double tau) {
    if (!query.bounded || !(tau > -kInfinity)) return -std::numeric_limits<float>::infinity();
    const double unit = std::ldexp(1.0, -query.exponent);
    const double c = query.slack;
    const double distance = -tau;
    switch (query.metric) {
        case Metric::cosine: {
            const double norm = std::sqrt(query.sq_norm) * unit;
            return round_down(norm * (tau - c));
        }
        case Metric::dot: {
            // A canonical +inf is any product beyond the largest float32.
            const double finite = std::min<double>(tau, std::numeric_limits<float>::max());
            return round_down((finite - std::abs(finite) * 4.0 * kUnit) * unit);
        }
        case Metric::euclidean:
        case Metric::sqeuclidean: {
            if (distance < 0.0) return std::numeric_limits<float>::infinity();
            const double squared = query.metric == Metric::euclidean ? distance * distance : distance;
            return round_down(0.5 * unit * ((1.0 - 3.0 * c) * query.sq_norm - squared * (1.0 + 16.0 * kUnit)));
        }
        case Metric::manhattan: return round_down(tau * (distance < 0.0 ? 1.0 : 1.0 + c));
        case Metric::hamming: return round_down(tau);
        case Metric::jaccard:
            // The bound is and/or in float32, two roundings; tau = and/or - 1.
            return round_down((1.0 + tau) * (1.0 - 8.0 * kUnit) - 8.0 * kUnit);
    }
    return -std::numeric_limits<float>::infinity();
}

// How far a row's upper bound can lie above keep_threshold(its own canonical score): the bound minus
// this width is a threshold that the row itself proves. `max_add`: largest |add| among the rows.
inline double bound_width(const QueryTerms& query, double bound, double max_add) {
    const double c = query.slack;
    const double unit = std::ldexp(1.0, -query.exponent);
    switch (query.metric) {
        case Metric::cosine: return 2.25 * c * std::sqrt(query.sq_norm) * unit;
        case Metric::dot: return 2.25 * query.add_scale * max_add;
        case Metric::euclidean:
        case Metric::sqeuclidean: return 4.0 * c * unit * (query.sq_norm + 2.25 * max_add);
        case Metric::manhattan: return 3.5 * c * std::abs(bound);
        case Metric::hamming: return 0.0;
        case Metric::jaccard: break;
    }
    return 32.0 * kUnit;
}

}  // namespace embmath::core
