// The certificate of codes in rotated coordinates, of which only leading ones are kept.
//
// Let x be a row (for cosine divided by its norm), q a query (cosine and dot: divided by its norm),
// m a fixed mean, V a fixed p x d matrix whose rows are orthonormal up to |V V^T - I| <= eps. With
// x' = x - m and any t,
//
//   <q,x> = <q - t m, x'> + t <m,x'> + <q,m>
//
// which removes what all rows have in common from both sides; t = <q,m>/|m|^2 makes q' = q - t m
// shortest. For distances |q-x|^2 = |q'|^2 + |x'|^2 - 2 <q',x'> with q' = q - m, in units of |q'|.
// In both cases <q',x'> is what needs a bound. With y = V x', z = V q' and what lies outside the span
// of V (q_t, x_t),
//
//   |<q',x'> - <z,y>| <= |q_t||x_t| + eps |q'||x'|,
//   |q_t|^2 <= |q'|^2 - |z|^2/(1+eps),  |x_t|^2 <= |x'|^2 - |y|^2/(1+eps).
//
// Codes. The first r coordinates of y are coded, y^_j = s D_j c_j with fixed steps D_j and one scale s
// per row; the others count as coded by zero. The query's z_j D_j are integers g_j up to a residual:
// z_j D_j = b g_j + u_j. The tile returns S = sum g_j c_j exactly, and
//
//   <z,y> = b s S + s <u,c> + <z, y - y^>.
//
// For fixed weights w_j > 0 on coded coordinates and 1 on all others, Cauchy and Schwarz give
//
//   |<z, y-y^>| + |q_t||x_t| <= R_q R_x,   R_x^2 = sum w_j^2 (y_j - y^_j)^2 + |x beyond r|^2,
//                                          R_q^2 = sum (z_j/w_j)^2          + |q beyond r|^2:
//
// one number per row and prefix. The product is smallest on average for w^2 = sigma_z/sigma_e (their
// standard deviations); uncoded coordinates of like rows and queries have w = 1. Hence
//
//   <q',x'> <= b s S + R_q R_x + |u| s|c| + eps |q'||x'|.
//
// Rounding. x' and q' are float64, then rounded to float32 for the rotation, which runs in float32
// chains of kRotationSteps terms added in float64 and rounded once more: every coordinate errs by
// less than gamma |V_j||x'| + 4u, the vector by less than (gamma sqrt(p)(1+eps) + 4u)|x'| = eta |x'|.
// That error enters R_x with the largest weight, R_q with the inverse of the least, |y| and |z| above
// with its sign against us, and <z,y^>. The scale s is float32 before residuals are taken. Where
// subtracting m cancels, |x'| is known up to 2^-45 (|x|+|m|), which is added or subtracted. The float32 epilogue (conversion of S, product, three sums) and the canonical
// score's own rounding stay below kCodeSlack times |q'|(|x|+|m|) + |t||m|(|x|+|m|) + |<q,m>| (+ 1 for
// cosine), as in core/code_bounds.hpp. Per-row terms of that kind are taken at the largest row of a
// panel: Panel::largest_norm and Panel::code_reach (of s|c|).
#pragma once

#include "core/code_bounds.hpp"

namespace embmath::core {

inline constexpr int kRungs = 2;            // prefixes of one plane of codes: all rows, then survivors
inline constexpr int kRotationSteps = 128;  // longest float32 chain of the rotation

// Beyond, float32 holds neither <m,x'> nor |x'|^2: rows with |x|+|m| of that size have no bound.
inline constexpr double kMostReach = 0x1p52;
// Below, float32 holds neither t nor <m,x'>; t is zero then. |m||x'| is a normal number above, for
// rows that are not shorter than 2^-50, or else smaller than what the slack takes from |m|^2.
inline constexpr double kLeastMean = 0x1p-50;

// eta(1): how far rotating a unit vector errs, as a vector.
inline double rotation_error(std::int64_t p, double eps) {
    constexpr double gamma = (kRotationSteps + 1) * kUnit / (1.0 - (kRotationSteps + 1) * kUnit);
    return gamma * std::sqrt(static_cast<double>(p)) * (1.0 + eps) + 4.0 * kUnit;
}

// |x beyond r| from |x'| and the length of its first r coordinates, which may err by `error`.
inline double beyond(double norm, double sq_prefix, double error, double eps) {
    const double prefix = std::max(std::sqrt(sq_prefix) - error, 0.0);
    return std::sqrt(std::max(norm * norm * (1.0 + 0x1p-40) - prefix * prefix / (1.0 + eps), 0.0)) * (1.0 + 0x1p-40);
}

// Sums over a row in float64.
struct PrefixSums {
    double norm = 0.0;         // |x'|, rounded up
    double least_norm = 0.0;   // |x'|, rounded down
    double along_mean = 0.0;   // <m,x'>
    double sq_length[kRungs];  // of the rotated coordinates of each prefix
    double sq_error[kRungs];   // of w (y - y^), over each prefix
};

// What coded coordinates and the rotation they live in have in common.
struct PrefixShape {
    double eps = 0.0;            // |V V^T - I|
    double eta = 0.0;            // rotation_error()
    double most_weight = 1.0;    // largest w
    double least_weight = 1.0;   // least w
    double most_step = 1.0;      // largest D
    bool is_whole[kRungs] = {};  // the prefix is all of the space: nothing lies beyond
};

inline double prefix_radius(const PrefixShape& shape, int rung, double norm, double sq_length, double sq_weighted,
                            double weight) {
    const double error = shape.eta * norm;
    const double coded = std::sqrt(sq_weighted) + weight * error;
    const double rest = shape.is_whole[rung] ? 0.0 : beyond(norm, sq_length, error, shape.eps);
    return std::sqrt(coded * coded + rest * rest) * (1.0 + 0x1p-30);
}

// {mul, R_x, offset}
inline RowTerms prefix_row(Metric metric, const PrefixShape& shape, int rung, float scale, const PrefixSums& sums) {
    RowTerms terms{scale, {}};
    terms.add[0] = round_up(prefix_radius(shape, rung, sums.norm, sums.sq_length[rung], sums.sq_error[rung], shape.most_weight));
    const bool is_distance = is_euclidean(metric);
    terms.add[1] = is_distance ? round_up(-0.5 * sums.least_norm * sums.least_norm) : static_cast<float>(sums.along_mean);
    return terms;
}

struct PrefixQuery {
    Metric metric = Metric::dot;
    bool bounded = false;
    double unit = 0.0;       // everything below is divided by it: |q|, or |q'| for distances
    double norm = 0.0;       // |q'|
    double mean_norm = 0.0;  // |m|
    double tilt = 0.0;       // t
    double offset = 0.0;     // <q,m>
    double step = 0.0;       // b
    double residual = 0.0;   // |u|
    double radius[kRungs] = {};

    float threshold(double tau, double slack) const {
        if (metric == Metric::cosine) return round_down(tau);
        CodeQuery like{metric};
        like.norm = unit;
        return like.threshold(tau, slack);
    }

    Gate gate(const PrefixShape& shape, double tau, const BoundScales& scales) const {
        Gate gate;
        if (!bounded) {
            gate.constant = std::numeric_limits<float>::infinity();
            return gate;
        }
        const bool is_distance = is_euclidean(metric);
        const double slack = kCodeSlack * scales.rounding;
        gate.scale = static_cast<float>(step);
        const double own_rounding = metric == Metric::cosine ? 1.0 : 0.0;
        if (!is_distance) gate.constant = round_up(offset + slack * (std::abs(offset) + own_rounding));
        gate.weight[0] = round_up(radius[0] * scales.residual * kTermSlack);
        gate.refined_weight = round_up(radius[1] * scales.residual * kTermSlack);
        gate.weight[1] = is_distance ? round_down((1.0 - slack) / unit) : static_cast<float>(tilt);
        gate.norm_weight = round_up(((shape.eps + slack) * norm + slack * std::abs(tilt) * mean_norm) * kTermSlack);
        gate.code_weight = round_up((residual * scales.query + (shape.eta * scales.rounding + slack) * norm * shape.most_step) * kTermSlack);
        if (tau > -kInfinity) gate.threshold = threshold(tau, slack);
        return gate;
    }
};

}  // namespace embmath::core
