// Grids of scalar codes: from a range to its step, from a format to the rule that makes codes of places.
// For the CPU and for devices.
#pragma once

#include "core/compiler.hpp"
#include "core/dtype.hpp"
#include "embmath/code_format.hpp"

namespace embmath::core {

inline constexpr int kSignedZero = 128;  // the code that int8 stores as 0

// 1 where all numbers are the same.
EMBMATH_INLINE float step_of(float low, float high, int levels) noexcept {
    const float step = (high - low) / static_cast<float>(levels);
    return step == 0.0F ? 1.0F : step;
}

// What (x - low) is divided by. FAISS gives code 0 to everything in a column without a range.
EMBMATH_INLINE float divisor_of(float low, float high, const CodeFormat& format) noexcept {
    if (format.rounding != Rounding::ratio) return step_of(low, high, format.levels);
    return high == low ? bit_cast<float>(0x7f800000u) : high - low;
}

// code = round(clamp((x - start) / divisor * factor + shift, low, high)) + bias; NaN becomes low. Either
// the factor is 1 or the shift is 0. To nearest: ties away from zero; else what follows the point is cut off.
struct PlaceRule {
    bool to_nearest = false;
    float factor = 1.0F, shift = 0.0F, low = 0.0F, high = 0.0F;
    int bias = 0;
};

EMBMATH_INLINE PlaceRule place_rule(const CodeFormat& format) noexcept {
    PlaceRule rule;
    rule.to_nearest = format.rounding == Rounding::nearest;
    rule.high = static_cast<float>(format.levels);
    rule.low = format.is_symmetric ? -rule.high : 0.0F;
    if (format.rounding == Rounding::ratio) rule.factor = rule.high;
    if (format.is_signed && format.rounding == Rounding::truncate) {
        rule.shift = -static_cast<float>(kSignedZero);
        rule.low += rule.shift;
        rule.high += rule.shift;
    } else if (format.is_signed) {
        rule.bias = -kSignedZero;
    }
    return rule;
}

}  // namespace embmath::core
