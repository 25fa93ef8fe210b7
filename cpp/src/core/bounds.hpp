// What every certificate shares: units, directed rounding, and the form in which a bound is evaluated.
//
// A stage bounds the score of a (query, row) pair from above, in units of its own:
//
//   bound = sum * (mul * scale) + constant + add[0] weight[0] + add[1] weight[1] + add[2] weight[2]
//
// `sum` is the tile's, {mul, add} belong to the row, {scale, constant, weight, threshold} to the
// query. A row is kept iff bound >= threshold (NaN compares as kept); a row below it has a canonical
// score strictly worse than tau, the score that the threshold was made from.
// core/float_bounds.hpp and core/code_bounds.hpp derive the terms of the two kinds of stage.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/metrics.hpp"
#include "embmath/types.hpp"

namespace embmath::core {

inline constexpr double kUnit = 0x1p-24;  // u: half a unit in the last place of float32, relative
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Rows scaled by more than this cannot share float32 units with others; they are always verified.
inline constexpr int kMaxExponent = 50;

// Beyond this (float64 input only) the canonical float64 sums themselves overflow or underflow, and
// no bound on exact arithmetic says anything about them.
inline constexpr int kMaxCanonicalExponent = 400;

inline bool shares_units(Metric metric, int exponent) {
    const int limit = metric == Metric::cosine ? kMaxCanonicalExponent : kMaxExponent;
    return exponent >= -limit && exponent <= limit;
}

inline float round_down(double value) {
    const float nearest = static_cast<float>(value);
    return static_cast<double>(nearest) > value ? std::nextafter(nearest, -std::numeric_limits<float>::infinity())
                                                : nearest;
}

inline float round_up(double value) { return -round_down(-value); }

inline constexpr int kMaxTerms = 3;

// What a row contributes. `mul` NaN: the row has no bound and always reaches the verifier.
struct RowTerms {
    float mul = 0.0F;
    float add[kMaxTerms] = {};
};

inline RowTerms unbounded_row() { return {std::numeric_limits<float>::quiet_NaN(), {}}; }

// What a query contributes, given tau.
struct Gate {
    float threshold = -std::numeric_limits<float>::infinity();
    float constant = 0.0F;
    float weight[kMaxTerms] = {};
    float scale = 1.0F;
    float tilt = 0.0F;  // what `scale` loses for each unit of a panel's least ratio (core/code_bounds.hpp)
    // core/prefix_bounds.hpp: weight[0] of the longer prefix, and what `constant` gains for a panel.
    float refined_weight = 0.0F, norm_weight = 0.0F, code_weight = 0.0F;
};

// Factors on the parts of the bounds, all 1. Tests make each part too small by a known amount and
// must then see the self-check fail.
struct BoundScales {
    double rounding = 1.0;  // float32 evaluation: slack of both stages
    double residual = 1.0;  // what the codes of a row leave out
    double query = 1.0;     // what the codes of a query leave out
};

}  // namespace embmath::core
