// Rows sixteen bytes at a time: what one instruction of a lane loads, and the bytes that come of it.
#pragma once

#include "core/dtype.hpp"
#include "device/target.cuh"

namespace embmath::cuda {

template <class D>
__device__ __forceinline__ float number(typename D::storage bits) {
#if defined(__CUDACC__)
    if constexpr (D::id == Dtype::f16) {
        float value;
        asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));  // exact
        return value;
    }
#endif
    return D::to_f32(bits);
}

template <class D>
struct alignas(16) Piece {
    using Storage = typename D::storage;
    static constexpr int kCount = 16 / sizeof(Storage);
    std::uint32_t words[4];

    __device__ __forceinline__ float operator[](int i) const {
        if constexpr (sizeof(Storage) == 4) return core::bit_cast<float>(words[i]);
        return number<D>(static_cast<Storage>(words[i / 2] >> 16 * (i % 2)));
    }
    __device__ __forceinline__ void set(int i, Storage value) {
        if constexpr (sizeof(Storage) == 4) {
            words[i] = core::bit_cast<std::uint32_t>(value);
        } else {
            words[i / 2] = i % 2 == 0 ? value : words[i / 2] | static_cast<std::uint32_t>(value) << 16;
        }
    }
};

// `is_whole`: the piece is aligned and inside the row. Else what lies beyond the row is its last element.
template <class D, bool is_whole>
__device__ __forceinline__ Piece<D> load_piece(const typename D::storage* p, int left) {
    Piece<D> piece;
    if constexpr (is_whole) {
        piece = *reinterpret_cast<const Piece<D>*>(p);
    } else {
        EMBMATH_UNROLL
        for (int i = 0; i < Piece<D>::kCount; ++i) piece.set(i, p[i < left ? i : left - 1]);
    }
    return piece;
}

// Some of the bytes of words, first the lowest; all of them, aligned to themselves, if `is_whole`.
template <bool is_whole, class Words>
__device__ __forceinline__ void store_bytes(std::uint8_t* p, Words words, int n) {
    if constexpr (is_whole) {
        *reinterpret_cast<Words*>(p) = words;
    } else {
        EMBMATH_UNROLL
        for (int i = 0; i < static_cast<int>(sizeof(Words)); ++i) {
            if (i < n) p[i] = static_cast<std::uint8_t>(words >> 8 * i);
        }
    }
}

}  // namespace embmath::cuda
