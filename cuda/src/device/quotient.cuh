// (x - start) / divisor for many x and one divisor: six instructions where a division takes twenty.
#pragma once

#include <cmath>

#include "core/dtype.hpp"
#include "device/target.cuh"

namespace embmath::cuda {

// Everything is scaled by the power of two that takes the divisor to [1, 2), one above 2^127 to [2, 4), a
// subnormal one to at least 2^-23: a = scale x - scale start has the roundings of x - start, b = scale divisor
// is exact, and nothing below leaves the range of float32. With y = 1/b to nearest, a y is within two units of
// a/b in the last place; the first correction by the remainder a - q b leaves less than one, so that the second
// remainder is exact and the second correction rounds correctly (Markstein, "Computation of elementary
// functions on the IBM RISC System/6000 processor", 1990).
//
// Where that does not hold no code depends on it: quotients below 2^-20, which all round to 0 and leave -128
// as it is, and beyond +-256, which of_any() cuts off and which belong to the last codes; NaN goes to the first.
class Quotient {
public:
    Quotient() = default;
    __device__ __forceinline__ Quotient(float start, float divisor) {
        const unsigned exponent = core::bit_cast<unsigned>(divisor) >> 23;  // positive
        const bool is_infinite = exponent == 255;  // where all numbers are the same: every quotient is 0
        const unsigned scale = exponent == 0 ? 253u : exponent == 254 ? 1u : 254u - exponent;
        scale_ = is_infinite ? 0.0F : core::bit_cast<float>(scale << 23);
        shift_ = -start * scale_;
        divisor_ = is_infinite ? 1.0F : divisor * scale_;
        reciprocal_ = 1.0F / divisor_;
    }

    // Of numbers whose quotients are codes.
    __device__ __forceinline__ float of(float x) const { return over(__fmaf_rn(x, scale_, shift_)); }
    __device__ __forceinline__ float of_any(float x) const {
        constexpr float kMost = 1024.0F;  // over a divisor below 4: beyond the last code
        return over(fminf(fmaxf(__fmaf_rn(x, scale_, shift_), -kMost), kMost));
    }

private:
    __device__ __forceinline__ float over(float a) const {
        const float rough = a * reciprocal_;
        const float near = __fmaf_rn(__fmaf_rn(-rough, divisor_, a), reciprocal_, rough);
        return __fmaf_rn(__fmaf_rn(-near, divisor_, a), reciprocal_, near);
    }

    float scale_ = 0.0F, shift_ = 0.0F, divisor_ = 1.0F, reciprocal_ = 1.0F;
};

}  // namespace embmath::cuda
