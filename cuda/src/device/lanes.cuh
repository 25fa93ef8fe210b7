// Sixteen lanes that score one row: the canonical order of additions, half a warp.
#pragma once

#include "core/dtype.hpp"
#include "device/target.cuh"
#include "kernel/shapes.cuh"

namespace embmath::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;

__device__ __forceinline__ int lane_of_row() { return static_cast<int>(threadIdx.x % kLanes); }

// The tree 8 + 8, 4 + 4, 2 + 2, 1 + 1 over the lanes of a half warp; every lane gets the sum. Addition
// commutes, so that both partners round alike.
__device__ __forceinline__ double tree_sum(double value) {
    for (int apart = kLanes / 2; apart > 0; apart /= 2) value = __dadd_rn(value, __shfl_xor_sync(kAllLanes, value, apart));
    return value;
}

__device__ __forceinline__ float largest(float value) {
    for (int apart = kLanes / 2; apart > 0; apart /= 2) {
        const float other = __shfl_xor_sync(kAllLanes, value, apart);
        value = other > value ? other : value;
    }
    return value;
}

// Terms of canonical sums, one column at a time. A product of two float32 is exact in float64, fused
// or not; a squared difference is not, and rounds before it is added.
struct DotTerm {
    static __device__ __forceinline__ double add(double sum, double q, double x) { return __fma_rn(q, x, sum); }
};
struct DifferentBitsTerm {  // of bytes
    static __device__ __forceinline__ double add(double sum, double q, double x) {
        return __dadd_rn(sum, __popc(static_cast<unsigned>(q) ^ static_cast<unsigned>(x)));
    }
};
struct SquaredDifferenceTerm {
    static __device__ __forceinline__ double add(double sum, double q, double x) {
        const double difference = __dsub_rn(q, x);
        return __dadd_rn(sum, __dmul_rn(difference, difference));
    }
};

}  // namespace embmath::cuda
