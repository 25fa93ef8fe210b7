// The certificate of the int8 stage.
//
// Codes. x^ = a c with the least-squares scale a = <x,c>/<c,c>, so that e = x - x^ is orthogonal to
// x^; for the query q^ = b z and r = q - q^ likewise. The tile returns S = <z, c> exactly. Then
//
//   <q,x> = <q^,x^> + <r,x^> + <q,e>,   <q^,x^> = a b S = |q^||x^| cos t,   and
//   |<r,x^>| <= |r||x^| sin t             r is orthogonal to q^: only what x^ has beside q^ counts
//   |<q,e>|  <= |e| (|q^| sin t + |r|)    e is orthogonal to x^: only the distance from q to the
//                                         line of x^ counts, at most that of q^ plus |r|
//
// (the plain Cauchy-Schwarz bounds with the code directions projected out). sin t is concave in
// cos t: the tangent at any s0 in [0, 1) lies above it,
//
//   sin t <= sigma (1 - s0 cos t),  sigma = 1 / sqrt(1 - s0^2),
//
// which leaves a bound that is affine in S, with rho_q = |r|/|q^|, rho_x = |e|/|x^|:
//
//   <q,x> <= a b S (1 - sigma s0 (rho_q + rho_x)) + sigma |r||x^| + (sigma |q^| + |r|) |e|
//
// rho_x may be replaced by anything smaller, such as the least of a chunk: for S > 0 that only raises
// the bound; for S <= 0 the right side without the factor is a bound already, as sin t <= 1 <= sigma,
// and what the factor subtracts is not positive. s0 is chosen near the score at the threshold, where
// the tangent touches; a wrong choice costs survivors, never correctness.
//
// Units: everything is divided by |q| (and by |x| for cosine).
//
// Rounding. |x|^2, <x,c> and <c,c> are float64 sums over 16 lanes: with eta(d) = (d + 64) 2^-52,
// |e|^2 = |x|^2 - <x,c>^2/<c,c> errs by less than 4 eta |x|^2, which is added. Stored scalars are
// rounded up (or to nearest where they multiply S: the relative error, at most 2^-23 in a and in b,
// also stands for a scale that is not quite least-squares). The float32 epilogue rounds S (once; two
// digits: fl(128 h) + l, |128 h|, |l| <= 2 |z||c| up to d = 2^14, 3 up to 2^16), mul * scale, the
// product and at most four sums: less than 40 u |x| in all. With the rounding of the canonical score
// and its float64 error that stays below kCodeSlack = 96 u. Weights carry 2^-20 for their own terms.
#pragma once

#include "core/bounds.hpp"

namespace embmath::core {

inline constexpr double kCodeSlack = 96.0 * kUnit;
inline constexpr double kTermSlack = 1.0 + 0x1p-20;

// 32-bit sums stay exact: 255 * 127 * d < 2^31, and d * 2^14 for the digits of a wide query.
inline constexpr std::int64_t kMaxCodeDim = std::int64_t{1} << 16;

// What the float64 sums over a row and its codes say about it.
struct CodeFit {
    bool bounded = false;
    double scale = 0.0;           // a
    double norm = 0.0;            // |x|, rounded up
    double residual = 0.0;        // |e|, rounded up
    double least_ratio = 0.0;     // rho_x, rounded down; a row of zeros has none and says infinity
};

struct CodeSums {
    double max_abs, sq_norm, product, sq_code;
};

inline CodeFit fit_codes(Metric metric, const CodeSums& sums, std::int64_t d) {
    CodeFit fit;
    if (!(sums.sq_norm < kInfinity)) return fit;
    if (sums.sq_norm == 0.0 && sums.max_abs == 0.0) return {true, 0.0, 0.0, 0.0, kInfinity};
    if (!(sums.sq_code > 0.0) || !(sums.product > 0.0) || !(sums.max_abs < kInfinity)) return fit;
    if (!shares_units(metric, std::ilogb(sums.max_abs))) return fit;
    const double margin = 4.0 * (static_cast<double>(d) + 64.0) * 0x1p-52 * sums.sq_norm;
    const double explained = sums.product * sums.product / sums.sq_code;
    fit.bounded = true;
    fit.scale = sums.product / sums.sq_code;
    fit.norm = std::sqrt(sums.sq_norm) * (1.0 + 0x1p-30);
    fit.residual = std::sqrt(std::max(sums.sq_norm - explained, 0.0) + margin);
    fit.least_ratio = std::sqrt(std::max(sums.sq_norm - explained - margin, 0.0) / explained) * (1.0 - 0x1p-30);
    return fit;
}

constexpr int code_terms(Metric metric) {
    return metric == Metric::cosine ? 1 : metric == Metric::dot ? 2 : 3;
}

// {mul, |e|, |x|, -|x|^2/2}, each as far as the metric needs it.
inline RowTerms code_row(Metric metric, const CodeFit& fit) {
    if (!fit.bounded) return unbounded_row();
    if (metric == Metric::cosine) {
        if (fit.norm == 0.0) return {};
        return {static_cast<float>(fit.scale / fit.norm), {round_up(fit.residual / fit.norm * (1.0 + 0x1p-29))}};
    }
    RowTerms terms{static_cast<float>(fit.scale), {round_up(fit.residual), round_up(fit.norm)}};
    if (metric != Metric::dot) terms.add[2] = round_up(-0.5 * fit.norm * fit.norm * (1.0 - 0x1p-28));
    return terms;
}

struct CodeQuery {
    Metric metric = Metric::dot;
    bool bounded = false;
    double norm = 0.0;      // |q|
    double step = 0.0;      // b / |q|
    double residual = 0.0;  // |r| / |q|, rounded up
    double ratio = 0.0;     // |r| / |q^|, rounded down

    // Where the tangent should touch: the cosine of a pair that scores tau, for rows of this norm.
    double tangent(double tau, double typical_norm) const {
        constexpr double kMost = 0.98;  // sigma <= 5 keeps every rounding within the slack
        double cosine = tau;
        if (metric == Metric::dot) cosine = tau / (norm * typical_norm);
        if (is_euclidean(metric)) {
            const double squared = metric == Metric::euclidean ? tau * tau : -tau;
            cosine = (norm * norm + typical_norm * typical_norm - squared) / (2.0 * norm * typical_norm);
        }
        return cosine > 0.0 ? std::min(cosine, kMost) : 0.0;  // NaN: 0
    }

    float threshold(double tau, double slack) const {
        const double distance = -tau;
        switch (metric) {
            case Metric::cosine: return round_down(tau);
            case Metric::dot: {
                // A canonical +inf is any product beyond the largest float32.
                const double finite = std::min<double>(tau, std::numeric_limits<float>::max());
                return round_down((finite - std::abs(finite) * 4.0 * kUnit) / norm);
            }
            default: {
                // |q-x|^2 = |q|^2 + |x|^2 - 2<q,x> <= D   iff   <q,x> - |x|^2/2 >= (|q|^2 - D)/2
                if (distance < 0.0) return std::numeric_limits<float>::infinity();
                const double squared = metric == Metric::euclidean ? distance * distance : distance;
                return round_down(0.5 * (norm * (1.0 - slack) - squared * (1.0 + 16.0 * kUnit) / norm));
            }
        }
    }

    // The factor on S is scale - tilt * rho_x, for the least rho_x of a panel, or zero if that is less
    // (which a smaller rho_x gives).
    Gate gate(double tau, double typical_norm, const BoundScales& scales) const {
        Gate gate;
        if (!bounded) {
            gate.constant = std::numeric_limits<float>::infinity();
            return gate;
        }
        const bool is_cold = !(tau > -kInfinity);
        double s0 = is_cold ? 0.0 : tangent(tau, typical_norm);
        double sigma = 1.0 / std::sqrt(1.0 - s0 * s0);
        double factor = 1.0 - sigma * s0 * ratio;
        if (!(factor >= 0.0)) {
            s0 = 0.0, sigma = 1.0, factor = 1.0;
        }
        const double slack = kCodeSlack * scales.rounding;
        const double aside = sigma * residual * scales.query + slack;
        gate.scale = static_cast<float>(step * factor);
        gate.tilt = static_cast<float>(step * sigma * s0);
        gate.weight[0] = round_up((sigma + residual) * scales.residual * kTermSlack);
        if (metric == Metric::cosine) {
            gate.constant = round_up(aside * kTermSlack);
        } else {
            gate.weight[1] = round_up(aside * kTermSlack);
        }
        if (code_terms(metric) > 2) gate.weight[2] = round_down((1.0 - slack) / norm);
        if (!is_cold) gate.threshold = threshold(tau, slack);
        return gate;
    }
};

inline CodeQuery code_query(Metric metric, const CodeFit& fit) {
    CodeQuery query{metric, fit.bounded && fit.norm > 0.0};
    if (!query.bounded) return query;
    query.norm = fit.norm;
    query.step = fit.scale / fit.norm;
    query.residual = fit.residual / fit.norm * (1.0 + 0x1p-29);
    query.ratio = fit.least_ratio;
    return query;
}

}  // namespace embmath::core
