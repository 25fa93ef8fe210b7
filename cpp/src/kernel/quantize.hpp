// Elements into one-byte codes on a uniform grid, and the ranges that a grid is laid over.
#pragma once

#include "core/compiler.hpp"
#include "kernel/load.hpp"
#include "kernel/table.hpp"

namespace embmath::kernel {

// Codes are computed in float32, of float64 rows in float64: what NumPy's promotion does with float32
// parameters, so that its plain formula gives the same codes.
template <class I, class D>
EMBMATH_INLINE auto load_work(const typename D::storage* p) noexcept {
    if constexpr (D::id == Dtype::f64) {
        return I::load(p);
    } else {
        return load_f32<I, D>(p);
    }
}

template <class I, class D, class F32>
EMBMATH_INLINE auto as_work(F32 value) noexcept {
    if constexpr (D::id == Dtype::f64) {
        return I::widen(value);
    } else {
        return value;
    }
}

template <class I, class D>
EMBMATH_INLINE auto broadcast_work(float value) noexcept {
    return as_work<I, D>(I::broadcast(value));
}

// Of sixteen columns, or of all.
template <class I, class D, bool per_column>
EMBMATH_INLINE auto parameter(const float* values, std::size_t col) noexcept {
    if constexpr (per_column) {
        return as_work<I, D>(I::load(values + col));
    } else {
        return broadcast_work<I, D>(values[0]);
    }
}

template <class I, class D, bool per_column, bool is_affine>
EMBMATH_INLINE void quantize_row(const QuantizeArgs& args) noexcept {
    const auto* x = static_cast<const typename D::storage*>(args.row);
    const auto factor = broadcast_work<I, D>(args.factor), shift = broadcast_work<I, D>(args.shift);
    const auto low = broadcast_work<I, D>(args.low), high = broadcast_work<I, D>(args.high);
    // Twice the fraction, truncated, is what rounding to nearest adds: ties go away from zero.
    const auto rounding = broadcast_work<I, D>(args.to_nearest ? 2.0F : 0.0F);
    const auto bias = I::broadcast(static_cast<std::uint32_t>(args.bias));
    const auto step = [&](std::size_t col, auto value, std::uint8_t* codes) {
        const auto offset = I::sub(value, parameter<I, D, per_column>(args.start, col));
        auto place = I::div(offset, parameter<I, D, per_column>(args.step, col));
        if constexpr (is_affine) place = I::add(I::mul(place, factor), shift);
        const auto inside = I::min(I::max(place, low), high);
        const auto whole = I::truncate(inside);
        const auto rest = I::sub(inside, as_work<I, D>(I::to_f32(whole)));
        I::store_bytes(codes, I::add(I::add(whole, I::truncate(I::mul(rest, rounding))), bias));
    };
    std::size_t col = 0;
    for (; col + kLanes <= args.n_cols; col += kLanes) {
        __builtin_prefetch(reinterpret_cast<const char*>(x + col) + args.ahead, 0, 2);
        step(col, load_work<I, D>(x + col), args.codes + col);
    }
    if (col < args.n_cols) {
        Buffer<std::uint8_t> tail;
        step(col, load_work<I, D>(copy_tail(x + col, args.n_cols - col).lane), tail.lane);
        __builtin_memcpy(args.codes + col, tail.lane, args.n_cols - col);
    }
}

template <class I, class D>
void quantize(const QuantizeArgs& args) noexcept {
    const bool is_affine = args.factor != 1.0F || args.shift != 0.0F;
    if (args.per_column) return is_affine ? quantize_row<I, D, true, true>(args) : quantize_row<I, D, true, false>(args);
    return is_affine ? quantize_row<I, D, false, true>(args) : quantize_row<I, D, false, false>(args);
}

// The range of what it has seen; a product with 0 is NaN exactly where an element is not finite.
template <class I>
struct Extremes {
    typename I::F32 low = I::broadcast(__builtin_inff()), high = I::broadcast(-__builtin_inff()), check = I::broadcast(0.0F);

    EMBMATH_INLINE void add(typename I::F32 value) noexcept {
        low = I::min(value, low);
        high = I::max(value, high);
        check = I::fma(value, I::broadcast(0.0F), check);
    }
    EMBMATH_INLINE void add(const Extremes& other) noexcept {
        low = I::min(other.low, low);
        high = I::max(other.high, high);
        check = I::add(check, other.check);
    }
};

template <class I>
EMBMATH_INLINE bool is_zero(typename I::F32 value) noexcept {
    Buffer<float> lanes;
    I::store(lanes.lane, value);
    bool found = true;
    for (int l = 0; l < kLanes; ++l) found &= lanes.lane[l] == 0.0F;
    return found;
}

// What a step over two vectors of elements will read later.
template <class T>
EMBMATH_INLINE void prefetch_both(const T* p, std::ptrdiff_t ahead) noexcept {
    __builtin_prefetch(reinterpret_cast<const char*>(p) + ahead, 0, 2);
    __builtin_prefetch(reinterpret_cast<const char*>(p + kLanes) + ahead, 0, 2);
}

template <class I, class D>
RowRange row_range(const void* row, std::size_t n_cols, std::ptrdiff_t ahead) noexcept {
    const auto* x = static_cast<const typename D::storage*>(row);
    if (n_cols == 0) return {0.0F, 0.0F, true};
    Extremes<I> seen, odd;  // two, to hide latency
    std::size_t col = 0;
    for (; col + 2 * kLanes <= n_cols; col += 2 * kLanes) {
        prefetch_both(x + col, ahead);
        seen.add(load_f32<I, D>(x + col));
        odd.add(load_f32<I, D>(x + col + kLanes));
    }
    seen.add(odd);
    for (; col < n_cols; col += kLanes) {
        Buffer<typename D::storage> tail;  // a range does not mind an element twice
        for (std::size_t l = 0; l < kLanes; ++l) tail.lane[l] = x[col + l < n_cols ? col + l : col];
        seen.add(load_f32<I, D>(tail.lane));
    }
    Buffer<float> lows, highs;
    I::store(lows.lane, seen.low);
    I::store(highs.lane, seen.high);
    for (int l = 1; l < kLanes; ++l) {
        lows.lane[0] = lows.lane[l] < lows.lane[0] ? lows.lane[l] : lows.lane[0];
        highs.lane[0] = highs.lane[l] > highs.lane[0] ? highs.lane[l] : highs.lane[0];
    }
    // The sum turns a zero that is negative by accident of the lanes into zero.
    return {lows.lane[0] + 0.0F, highs.lane[0] + 0.0F, is_zero<I>(seen.check)};
}

template <class I, class D>
bool column_ranges(const void* row, std::size_t n_cols, std::ptrdiff_t ahead, float* low, float* high) noexcept {
    const auto* x = static_cast<const typename D::storage*>(row);
    auto check = I::broadcast(0.0F);
    const auto visit = [&](std::size_t col, typename I::F32 value) EMBMATH_INLINE_LAMBDA {
        I::store(low + col, I::min(value, I::load(low + col)));
        I::store(high + col, I::max(value, I::load(high + col)));
        check = I::fma(value, I::broadcast(0.0F), check);
    };
    std::size_t col = 0;
    for (; col + kLanes <= n_cols; col += kLanes) {
        __builtin_prefetch(reinterpret_cast<const char*>(x + col) + ahead, 0, 2);
        visit(col, load_f32<I, D>(x + col));
    }
    if (col < n_cols) visit(col, load_f32_tail<I, D>(x + col, n_cols - col));
    return is_zero<I>(check);
}

}  // namespace embmath::kernel
