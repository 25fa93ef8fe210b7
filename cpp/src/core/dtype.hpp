// One entry per element type: how it is stored, and what it means as float32 and float64.
// These scalar decodes are the definition; an ISA may overload a vector load, never the meaning.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/compiler.hpp"
#include "embmath/types.hpp"

namespace embmath::core {

template <class To, class From>
EMBMATH_INLINE To bit_cast(From from) noexcept {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    __builtin_memcpy(&to, &from, sizeof(To));
    return to;
}

EMBMATH_INLINE float decode_f16(std::uint16_t h) noexcept {
    const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
    const std::uint32_t magnitude = h & 0x7fffu;
    if (magnitude >= 0x7c00u) return bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    // Shifting the fields into place leaves the exponent 112 too small; the product repairs it and
    // normalises subnormals in the same step, exactly.
    return bit_cast<float>(sign | bit_cast<std::uint32_t>(bit_cast<float>(magnitude << 13) * 0x1p112f));
}

EMBMATH_INLINE std::uint16_t encode_f16(float value) noexcept {
    const std::uint32_t bits = bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = bits >> 16 & 0x8000u;
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u | (magnitude >> 13 & 0x1ffu));
    if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {
        // Adding 0.5 aligns the last bit of a subnormal half with the last bit of a float32.
        const float shifted = bit_cast<float>(magnitude) + 0.5f;
        return static_cast<std::uint16_t>(sign | (bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
    }
    const std::uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return static_cast<std::uint16_t>(sign | (rounded - 0x38000000u) >> 13);
}

EMBMATH_INLINE float decode_bf16(std::uint16_t h) noexcept {
    return bit_cast<float>(static_cast<std::uint32_t>(h) << 16);
}

EMBMATH_INLINE std::uint16_t encode_bf16(float value) noexcept {
    const std::uint32_t bits = bit_cast<std::uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
    return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// The float32 neighbour of an inexact value whose last bit is set: what narrows it further then rounds
// as if it came from the float64 value itself.
EMBMATH_INLINE float narrow_to_odd(double value) noexcept {
    const float nearest = static_cast<float>(value);
    const double back = nearest;
    const std::uint32_t bits = bit_cast<std::uint32_t>(nearest);
    if (back == value || value != value || (bits & 1u) != 0) return nearest;
    return bit_cast<float>(__builtin_fabs(value) > __builtin_fabs(back) ? bits + 1 : bits - 1);
}

struct F16 {
    using storage = std::uint16_t;
    static constexpr Dtype id = Dtype::f16;
    static constexpr const char* name = "float16";
    static EMBMATH_INLINE float to_f32(storage v) noexcept { return decode_f16(v); }
    static EMBMATH_INLINE double to_f64(storage v) noexcept { return decode_f16(v); }
    static EMBMATH_INLINE storage from_f32(float v) noexcept { return encode_f16(v); }
};

struct BF16 {
    using storage = std::uint16_t;
    static constexpr Dtype id = Dtype::bf16;
    static constexpr const char* name = "bfloat16";
    static EMBMATH_INLINE float to_f32(storage v) noexcept { return decode_bf16(v); }
    static EMBMATH_INLINE double to_f64(storage v) noexcept { return decode_bf16(v); }
    static EMBMATH_INLINE storage from_f32(float v) noexcept { return encode_bf16(v); }
};

template <class Storage, Dtype Id>
struct Plain {
    using storage = Storage;
    static constexpr Dtype id = Id;
    static EMBMATH_INLINE float to_f32(storage v) noexcept { return static_cast<float>(v); }
    static EMBMATH_INLINE double to_f64(storage v) noexcept { return static_cast<double>(v); }
};

struct F32 : Plain<float, Dtype::f32> {
    static constexpr const char* name = "float32";
    static EMBMATH_INLINE storage from_f32(float v) noexcept { return v; }
};
struct F64 : Plain<double, Dtype::f64> {
    static constexpr const char* name = "float64";
};
struct I8 : Plain<std::int8_t, Dtype::i8> {
    static constexpr const char* name = "int8";
};
struct U8 : Plain<std::uint8_t, Dtype::u8> {
    static constexpr const char* name = "uint8";
};

// Calls `visit` with the traits entry of a run-time dtype. The one switch over dtypes.
template <class Visit>
EMBMATH_HOST_INLINE decltype(auto) visit_dtype(Dtype dtype, Visit&& visit) {
    switch (dtype) {
        case Dtype::f16: return visit(F16{});
        case Dtype::bf16: return visit(BF16{});
        case Dtype::f64: return visit(F64{});
        case Dtype::i8: return visit(I8{});
        case Dtype::u8: return visit(U8{});
        case Dtype::f32: break;
    }
    return visit(F32{});
}

inline std::size_t size_of(Dtype dtype) {
    return visit_dtype(dtype, [](auto traits) { return sizeof(typename decltype(traits)::storage); });
}

inline const char* name_of(Dtype dtype) {
    return visit_dtype(dtype, [](auto traits) { return decltype(traits)::name; });
}

constexpr bool is_integer(Dtype dtype) { return dtype == Dtype::i8 || dtype == Dtype::u8; }

}  // namespace embmath::core
