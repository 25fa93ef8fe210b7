// The certificate of the float32 (and bit-count) stage.
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
// Bounds are in units of 2^f, with one term per row.
#pragma once

#include "core/bounds.hpp"

namespace embmath::core {

// Beyond this dimension slack() would exceed 1/40 and the stage is not offered.
inline constexpr std::int64_t kMaxFloatDim = std::int64_t{1} << 18;

inline double gamma(double m) { return m * kUnit / (1.0 - m * kUnit); }
inline double slack(std::int64_t d) { return gamma(1.5 * static_cast<double>(d) + 32.0); }

// `sq_norm` is the float32 chain for |x'|^2, relative error at most gamma(d + 1).
inline RowTerms float_row(Metric metric, double sq_norm, int exponent, double slack) {
    if (!(sq_norm < kInfinity) || !shares_units(metric, exponent)) return unbounded_row();
    const double norm = std::sqrt(sq_norm);
    if (metric == Metric::cosine) return {norm > 0.0 ? static_cast<float>(1.0 / norm) : 0.0F, {}};
    const double scale = std::ldexp(1.0, exponent);
    if (metric == Metric::dot) {
        // s <= 2^(e+f) (p + slack |q'||x'|)
        return {static_cast<float>(scale), {round_up(scale * norm * (1.0 + slack))}};
    }
    // |q-x|^2 >= (1-c)(|q|^2 + |x|^2) - 2 p 2^(e+f)   because 2|q||x| <= |q|^2 + |x|^2; 3c instead
    // of c also covers the float32 norm and the epilogue, whose terms are within |q|^2 + |x|^2.
    return {static_cast<float>(scale), {round_up(-0.5 * (1.0 - 3.0 * slack) * sq_norm * scale * scale)}};
}

struct FloatQuery {
    Metric metric = Metric::dot;
    bool bounded = false;      // false: nothing may be discarded for this query
    double sq_norm = 0.0;      // |q|^2 of the stored values, float64; of packed bits, their count
    int exponent = 0;          // f
    double slack = 0.0;

    float weight() const {
        const double unit = std::ldexp(1.0, -exponent);
        switch (metric) {
            case Metric::dot: return round_up(slack * std::sqrt(sq_norm) * unit * (1.0 + 0x1p-20));
            case Metric::euclidean:
            case Metric::sqeuclidean: return static_cast<float>(unit);
            default: return 0.0F;
        }
    }

    // Largest float32 t such that an upper bound below t proves a canonical score worse than `tau`.
    // `tau` is oriented: similarities as they are, distances negated. -inf keeps everything.
    float threshold(double tau) const {
        if (!bounded || !(tau > -kInfinity)) return -std::numeric_limits<float>::infinity();
        const double unit = std::ldexp(1.0, -exponent);
        const double c = slack;
        const double distance = -tau;
        switch (metric) {
            case Metric::cosine: return round_down(std::sqrt(sq_norm) * unit * (tau - c));
            case Metric::dot: {
                // A canonical +inf is any product beyond the largest float32.
                const double finite = std::min<double>(tau, std::numeric_limits<float>::max());
                return round_down((finite - std::abs(finite) * 4.0 * kUnit) * unit);
            }
            case Metric::euclidean:
            case Metric::sqeuclidean: {
                if (distance < 0.0) return std::numeric_limits<float>::infinity();
                const double squared = metric == Metric::euclidean ? distance * distance : distance;
                return round_down(0.5 * unit * ((1.0 - 3.0 * c) * sq_norm - squared * (1.0 + 16.0 * kUnit)));
            }
            case Metric::manhattan: return round_down(tau * (distance < 0.0 ? 1.0 : 1.0 + c));
            case Metric::hamming: return round_down(tau);
            case Metric::jaccard:
                // The bound is and/or in float32, two roundings; tau = and/or - 1.
                return round_down((1.0 + tau) * (1.0 - 8.0 * kUnit) - 8.0 * kUnit);
        }
        return -std::numeric_limits<float>::infinity();
    }

    Gate gate(double tau) const {
        Gate gate;
        gate.threshold = threshold(tau);
        gate.weight[0] = weight();
        if (metric == Metric::jaccard) gate.constant = static_cast<float>(sq_norm);
        return gate;
    }
};

inline FloatQuery float_query(Metric metric, double sq_norm, int exponent, double slack) {
    return {metric, sq_norm < kInfinity && shares_units(metric, exponent), sq_norm, exponent, slack};
}

}  // namespace embmath::core
