// Sixteen elements of any dtype as F32 or F64: the ISA's own conversion, else the scalar decode.
#pragma once

#include "core/compiler.hpp"
#include "core/dtype.hpp"
#include "isa/concept.hpp"

namespace embmath::kernel {

using isa::kLanes;

template <class T>
struct Buffer {
    alignas(64) T lane[kLanes];
};

template <class T>
EMBMATH_INLINE Buffer<T> copy_tail(const T* p, std::size_t n) noexcept {
    Buffer<T> out{};
    __builtin_memcpy(out.lane, p, n * sizeof(T));
    return out;
}

template <class I, class D>
EMBMATH_INLINE typename I::F32 load_f32(const typename D::storage* p) noexcept {
    if constexpr (requires { I::load_f32(D{}, p); }) {
        return I::load_f32(D{}, p);
    } else if constexpr (D::id == Dtype::f32) {
        return I::load(p);
    } else {
        Buffer<float> decoded;
        for (int l = 0; l < kLanes; ++l) decoded.lane[l] = D::to_f32(p[l]);
        return I::load(decoded.lane);
    }
}

template <class I, class D>
EMBMATH_INLINE typename I::F64 load_f64(const typename D::storage* p) noexcept {
    if constexpr (D::id == Dtype::f64) {
        return I::load(p);
    } else if constexpr (requires { I::load_f64(D{}, p); }) {
        return I::load_f64(D{}, p);
    } else {
        return I::widen(load_f32<I, D>(p));
    }
}

// `n` < 16 elements, zeros after them; never reads past the last.
template <class I, class D>
EMBMATH_INLINE typename I::F32 load_f32_tail(const typename D::storage* p, std::size_t n) noexcept {
    return load_f32<I, D>(copy_tail(p, n).lane);
}

template <class I, class D>
EMBMATH_INLINE typename I::F64 load_f64_tail(const typename D::storage* p, std::size_t n) noexcept {
    return load_f64<I, D>(copy_tail(p, n).lane);
}

template <class I, class D>
EMBMATH_INLINE void store_f32(typename D::storage* p, typename I::F32 value) noexcept {
    if constexpr (D::id == Dtype::f32) {
        I::store(p, value);
    } else if constexpr (requires { I::store_f32(D{}, p, value); }) {
        I::store_f32(D{}, p, value);
    } else {
        Buffer<float> rounded;
        I::store(rounded.lane, value);
        for (int l = 0; l < kLanes; ++l) p[l] = D::from_f32(rounded.lane[l]);
    }
}

// Asks for the memory that sixteen elements take. Past the last row it never faults.
template <class T>
EMBMATH_INLINE void prefetch_lanes(const T* p) noexcept {
    constexpr std::size_t kLine = 64;
    for (std::size_t byte = 0; byte < kLanes * sizeof(T); byte += kLine) {
        __builtin_prefetch(reinterpret_cast<const char*>(p) + byte, 0, 2);
    }
}

// Rounds to the dtype: float64 as is, float32 once, narrower types from the float32 value.
template <class I, class D>
EMBMATH_INLINE void store_rounded(typename D::storage* p, typename I::F64 value) noexcept {
    if constexpr (D::id == Dtype::f64) {
        I::store(p, value);
    } else {
        store_f32<I, D>(p, I::narrow(value));
    }
}

// Elements that fill whole lines of 64 bytes.
template <class T>
inline constexpr std::size_t kLineLanes = kLanes * sizeof(T) < 64 ? 64 / sizeof(T) : kLanes;

// The same past the caches, whole lines: kLineLanes elements, as `values(col)` gives them from `col` on.
template <class I, class D, class Values>
EMBMATH_INLINE void stream_rounded(typename D::storage* p, const Values& values, std::size_t col) noexcept {
    if constexpr (D::id == Dtype::f64) {
        I::stream(p, values(col));
    } else if constexpr (D::id == Dtype::f32) {
        I::stream(p, I::narrow(values(col)));
    } else if constexpr (requires { I::stream_f32(D{}, p, I::narrow(values(col)), I::narrow(values(col))); }) {
        I::stream_f32(D{}, p, I::narrow(values(col)), I::narrow(values(col + kLanes)));
    } else {
        for (std::size_t lane = 0; lane < kLineLanes<typename D::storage>; lane += kLanes) {
            store_rounded<I, D>(p + lane, values(col + lane));
        }
    }
}

}  // namespace embmath::kernel
