// What the matrix unit multiplies, 32 bytes of a line at a time: 16 float16, 32 bytes or 256 bits. A
// warp's fragments hold the same bytes in the same lanes whatever they mean, so that copies, shared
// memory and fragment loads need not know.
#pragma once

#include "core/dtype.hpp"
#include "device/target.cuh"

#if !defined(__CUDACC__)
#include "emulator/matrix_unit.hpp"
#endif

namespace embmath::cuda {

// c += a b for fragments of 16 lines by 8 lines: lane l holds lines l / 4 and l / 4 + 8 of a and c, line
// l / 4 of b, and of each the words l % 4 and l % 4 + 4.
#if defined(__CUDACC__)
#define EMBMATH_MULTIPLY(instruction, held)                                                                \
    asm volatile(instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"            \
                 : "+" held(c[0]), "+" held(c[1]), "+" held(c[2]), "+" held(c[3])                          \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))
#else
#define EMBMATH_MULTIPLY(instruction, held) emulator::multiply<Self>(c, a, b0, b1)
#endif

struct HalfCode {
    using Self = HalfCode;
    using Sum = float;
    static constexpr bool has_exact_sums = false;
    static __device__ __forceinline__ void multiply(Sum (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
        EMBMATH_MULTIPLY("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "f");
    }
    // The same of one word of each, for the emulator.
    static Sum add_word(Sum sum, std::uint32_t x, std::uint32_t y) {
        for (int half = 0; half < 32; half += 16) {
            sum += core::decode_f16(static_cast<std::uint16_t>(x >> half)) * core::decode_f16(static_cast<std::uint16_t>(y >> half));
        }
        return sum;
    }
};

template <class D>
struct ByteCode {
    using Self = ByteCode;
    using Sum = std::int32_t;
    static constexpr bool has_exact_sums = true;
    static __device__ __forceinline__ void multiply(Sum (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
        if constexpr (D::id == Dtype::i8) {
            EMBMATH_MULTIPLY("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", "r");
        } else {
            EMBMATH_MULTIPLY("mma.sync.aligned.m16n8k32.row.col.s32.u8.u8.s32", "r");
        }
    }
    static Sum add_word(Sum sum, std::uint32_t x, std::uint32_t y) {
        using Byte = typename D::storage;
        for (int byte = 0; byte < 32; byte += 8) sum += static_cast<Byte>(x >> byte) * static_cast<Byte>(y >> byte);
        return sum;
    }
};

// Ones in common. The exclusive or would count differences at once, but from sm_90 on it is emulated.
struct BitCode {
    using Self = BitCode;
    using Sum = std::int32_t;
    static constexpr bool has_exact_sums = true;
    static __device__ __forceinline__ void multiply(Sum (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
        EMBMATH_MULTIPLY("mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc", "r");
    }
    static Sum add_word(Sum sum, std::uint32_t x, std::uint32_t y) { return sum + __builtin_popcount(x & y); }
};

#undef EMBMATH_MULTIPLY

}  // namespace embmath::cuda
