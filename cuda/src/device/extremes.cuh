// The least and the largest number of a row, in the words that it is loaded in; NaN if one of them is.
#pragma once

#include <cmath>

#include "core/dtype.hpp"
#include "device/lanes.cuh"
#include "device/pieces.cuh"

namespace embmath::cuda {

// Of two numbers; NaN passes through, unlike through fminf.
__device__ __forceinline__ float lesser(float a, float b) {
#if defined(__CUDACC__)
    float found;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(found) : "f"(a), "f"(b));
    return found;
#else
    return a != a || a < b ? a : b;
#endif
}
__device__ __forceinline__ float greater(float a, float b) { return -lesser(-a, -b); }

// Of the numbers that words hold: one, or two of 16 bits side by side.
template <class D>
__device__ __forceinline__ std::uint32_t lesser_words(std::uint32_t a, std::uint32_t b) {
    std::uint32_t found;
#if defined(__CUDACC__)
    if constexpr (D::id == Dtype::f16) {
        asm("min.NaN.f16x2 %0, %1, %2;" : "=r"(found) : "r"(a), "r"(b));
    } else {
        asm("min.NaN.bf16x2 %0, %1, %2;" : "=r"(found) : "r"(a), "r"(b));
    }
#else
    found = 0;
    for (int shift = 0; shift < 32; shift += 16) {
        const auto one = static_cast<std::uint16_t>(a >> shift), other = static_cast<std::uint16_t>(b >> shift);
        const float value = D::to_f32(one);
        found |= static_cast<std::uint32_t>(value != value || value < D::to_f32(other) ? one : other) << shift;
    }
#endif
    return found;
}

// As lanes gather them. The largest is minus the least of what has the other sign.
template <class D>
class Extremes {
public:
    __device__ __forceinline__ void add(const Piece<D>& piece) {
        EMBMATH_UNROLL
        for (const std::uint32_t word : piece.words) {
            if constexpr (D::id == Dtype::f32) {
                low_ = lesser(low_, core::bit_cast<float>(word));
                high_ = greater(high_, core::bit_cast<float>(word));
            } else {
                lows_ = lesser_words<D>(lows_, word);
                minus_highs_ = lesser_words<D>(minus_highs_, word ^ 0x80008000u);
            }
        }
    }
    // Of all lanes of a row.
    __device__ __forceinline__ void share(int lanes) {
        if constexpr (D::id != Dtype::f32) {
            low_ = lesser(half(lows_, 0), half(lows_, 1));
            high_ = -lesser(half(minus_highs_, 0), half(minus_highs_, 1));
        }
        for (int apart = lanes / 2; apart > 0; apart /= 2) {
            low_ = lesser(low_, __shfl_xor_sync(kAllLanes, low_, apart));
            high_ = greater(high_, __shfl_xor_sync(kAllLanes, high_, apart));
        }
    }
    __device__ __forceinline__ float low() const { return low_; }
    __device__ __forceinline__ float high() const { return high_; }

private:
    static __device__ __forceinline__ float half(std::uint32_t pair, int i) {
        return number<D>(static_cast<typename D::storage>(pair >> 16 * i));
    }

    static constexpr std::uint32_t kInfinity = D::id == Dtype::f16 ? 0x7c007c00u : 0x7f807f80u;
    float low_ = HUGE_VALF, high_ = -HUGE_VALF;
    std::uint32_t lows_ = kInfinity, minus_highs_ = kInfinity;
};

}  // namespace embmath::cuda
