// Codes back into numbers, and numbers from one float type into another.
#pragma once

#include "core/compiler.hpp"
#include "kernel/load.hpp"
#include "kernel/table.hpp"

namespace embmath::kernel {

// Sixteen elements at a time: `value_of(col)` gives what `store(pointer, value)` writes; the last few
// go through a buffer, so that nothing beyond them is touched.
template <class Storage, class Value, class Store>
EMBMATH_INLINE void write_row(Storage* out, std::size_t n_cols, const Value& value_of, const Store& store) noexcept {
    std::size_t col = 0;
    for (; col + kLanes <= n_cols; col += kLanes) store(out + col, value_of(col, std::size_t{kLanes}));
    if (col == n_cols) return;
    Buffer<Storage> tail;
    store(tail.lane, value_of(col, n_cols - col));
    __builtin_memcpy(out + col, tail.lane, (n_cols - col) * sizeof(Storage));
}

template <class I, class D>
EMBMATH_INLINE typename I::F64 load_f64_part(const typename D::storage* p, std::size_t n) noexcept {
    return n == kLanes ? load_f64<I, D>(p) : load_f64_tail<I, D>(p, n);
}

// The place of each code on its grid, exactly.
template <class I, class Code>
struct Places {
    typename I::F32 zero, half_low, half_high, low, high;

    EMBMATH_INLINE explicit Places(const DecodeArgs& args) noexcept
        : zero(I::broadcast(args.zero)), half_low(I::broadcast(args.half_low)), half_high(I::broadcast(args.half_high)),
          low(I::broadcast(args.low)), high(I::broadcast(args.high)) {}

    EMBMATH_INLINE typename I::F32 operator()(const typename Code::storage* codes, std::size_t n) const noexcept {
        const auto code = n == kLanes ? load_f32<I, Code>(codes) : load_f32_tail<I, Code>(codes, n);
        const auto half = I::min(I::max(code, half_low), half_high);
        return I::min(I::max(I::add(I::add(code, zero), half), low), high);
    }
};

// place * step + start: a product of ten bits and a float32 is exact in float64, so it does not matter
// whether an ISA fuses it with the sum.
template <class I, class Code, class D, bool per_column>
EMBMATH_INLINE void decode_row(const DecodeArgs& args) noexcept {
    const auto* codes = static_cast<const typename Code::storage*>(args.codes);
    const Places<I, Code> places(args);
    const auto first_start = I::broadcast(args.start[0]), first_step = I::broadcast(args.step[0]);
    const auto value_of = [&](std::size_t col, std::size_t n) EMBMATH_INLINE_LAMBDA {
        const auto place = I::widen(places(codes + col, n));
        if constexpr (per_column) {
            return I::fma(place, I::load(args.step + col), I::load(args.start + col));
        } else {
            return I::fma(place, first_step, first_start);
        }
    };
    write_row(static_cast<typename D::storage*>(args.out), args.n_cols, value_of,
              [](typename D::storage* p, typename I::F64 value) EMBMATH_INLINE_LAMBDA { store_rounded<I, D>(p, value); });
}

// place * step: the product rounded to float32 at once is that of float64 rounded.
template <class I, class Code, class D>
EMBMATH_INLINE void decode_symmetric(const DecodeArgs& args) noexcept {
    const auto* codes = static_cast<const typename Code::storage*>(args.codes);
    const Places<I, Code> places(args);
    const auto step = I::broadcast(static_cast<float>(args.step[0]));
    write_row(static_cast<typename D::storage*>(args.out), args.n_cols,
              [&](std::size_t col, std::size_t n) EMBMATH_INLINE_LAMBDA { return I::mul(places(codes + col, n), step); },
              [](typename D::storage* p, typename I::F32 value) EMBMATH_INLINE_LAMBDA { store_f32<I, D>(p, value); });
}

template <class I, class Code, class D>
void decode(const DecodeArgs& args) noexcept {
    if constexpr (D::id != Dtype::f64) {
        if (args.start == nullptr) return decode_symmetric<I, Code, D>(args);
    }
    const double zero = 0.0;
    DecodeArgs with_start = args;
    if (args.start == nullptr) with_start.start = &zero;
    return args.per_column ? decode_row<I, Code, D, true>(with_start) : decode_row<I, Code, D, false>(with_start);
}

// Rounds once: float64 reaches 16 bits through the odd float32 beside it.
template <class I, class From, class To>
void convert(const void* row, std::size_t n_cols, void* out) noexcept {
    const auto* x = static_cast<const typename From::storage*>(row);
    auto* y = static_cast<typename To::storage*>(out);
    const auto store = [](typename To::storage* p, typename I::F64 value) EMBMATH_INLINE_LAMBDA {
        store_rounded<I, To>(p, value);
    };
    if constexpr (From::id == Dtype::f64 && sizeof(typename To::storage) == 2) {
        const auto value_of = [&](std::size_t col, std::size_t n) EMBMATH_INLINE_LAMBDA {
            Buffer<float> odd{};
            for (std::size_t l = 0; l < n; ++l) odd.lane[l] = core::narrow_to_odd(x[col + l]);
            return I::widen(I::load(odd.lane));
        };
        write_row(y, n_cols, value_of, store);
    } else {
        const auto value_of = [&](std::size_t col, std::size_t n) EMBMATH_INLINE_LAMBDA {
            return load_f64_part<I, From>(x + col, n);
        };
        write_row(y, n_cols, value_of, store);
    }
}

}  // namespace embmath::kernel
