// A row into int8 codes, with the sums that its least-squares scale and residual follow from.
#pragma once

#include "core/compiler.hpp"
#include "kernel/load.hpp"
#include "kernel/table.hpp"

namespace embmath::kernel {

// Calls `visit(col, x)` with sixteen float64 elements at a time, zeros after the last.
template <class I, class D, class Visit>
EMBMATH_INLINE void for_each_lanes(const typename D::storage* x, std::size_t n_cols, const Visit& visit) noexcept {
    std::size_t col = 0;
    for (; col + kLanes <= n_cols; col += kLanes) visit(col, load_f64<I, D>(x + col));
    if (col < n_cols) visit(col, load_f64_tail<I, D>(x + col, n_cols - col));
}

template <class I, class D>
EMBMATH_INLINE float largest_magnitude(const typename D::storage* x, std::size_t n_cols, std::ptrdiff_t ahead) noexcept {
    auto largest = I::broadcast(0.0F);
    std::size_t col = 0;
    for (; col + kLanes <= n_cols; col += kLanes) {
        __builtin_prefetch(reinterpret_cast<const char*>(x + col) + ahead, 0, 2);
        largest = I::max(I::abs(load_f32<I, D>(x + col)), largest);
    }
    if (col < n_cols) largest = I::max(I::abs(load_f32_tail<I, D>(x + col, n_cols - col)), largest);
    Buffer<float> lanes;
    I::store(lanes.lane, largest);
    float result = 0.0F;
    for (int l = 0; l < kLanes; ++l) result = lanes.lane[l] > result ? lanes.lane[l] : result;
    return result;
}

// Codes of a row without finite positive magnitude are zeros: its sums say that it has no bound.
template <class I, class D>
EncodeSums encode(const EncodeArgs& args) noexcept {
    const auto* x = static_cast<const typename D::storage*>(args.row);
    const float max_abs = largest_magnitude<I, D>(x, args.n_cols, args.ahead);
    // Below 2^-120 a float64 row's magnitude, as float32, is no longer within rounding of the true one.
    constexpr float kLeast = D::id == Dtype::f64 ? 0x1p-120F : 0x1p-149F;
    const bool is_usable = max_abs >= kLeast && max_abs < __builtin_inff();
    const auto per_unit = I::broadcast(is_usable ? args.levels / static_cast<double>(max_abs) : 0.0);
    const auto bias = I::broadcast(static_cast<std::uint32_t>(args.bias));
    auto sq_norm = I::broadcast(0.0), product = sq_norm, sq_code = sq_norm;
    for_each_lanes<I, D>(x, args.n_cols, [&](std::size_t col, typename I::F64 value) {
        const auto code = I::to_i32(I::narrow(I::mul(value, per_unit)));
        const auto rounded = I::widen(I::to_f32(code));
        I::store_bytes(args.codes + col, I::add(code, bias));
        sq_norm = I::fma(value, value, sq_norm);
        product = I::fma(value, rounded, product);
        sq_code = I::fma(rounded, rounded, sq_code);
    });
    return {max_abs, I::sum(sq_norm), I::sum(product), I::sum(sq_code)};
}

template <class I>
EMBMATH_INLINE std::int64_t sum_lanes(typename I::I32 value) noexcept {
    Buffer<std::uint32_t> lanes;
    I::store(lanes.lane, value);
    std::int64_t sum = 0;
    for (int l = 0; l < kLanes; ++l) sum += static_cast<std::int32_t>(lanes.lane[l]);
    return sum;
}

// Signed bytes are codes already, where the tile takes them whole. With u = x + 128, unsigned, as the
// rows' side of dot_bytes: sum u x = sum x^2 + 128 sum x.
template <class I>
EncodeSums encode_exact(const EncodeArgs& args) noexcept {
    if constexpr (I::code_levels < isa::kFullCodes) {
        return encode<I, core::I8>(args);
    } else {
        constexpr std::size_t kBytes = kLanes * sizeof(std::uint32_t);
        const auto* x = static_cast<const char*>(args.row);
        const auto flip = I::broadcast(0x80808080u), ones = I::broadcast(0x01010101u);
        auto products = I::broadcast(0u), total = products;
        const auto step = [&](std::size_t col, std::size_t n) {
            Buffer<std::uint32_t> words{};
            __builtin_memcpy(words.lane, x + col, n);
            const auto codes = I::load(words.lane);
            const auto biased = I::bit_xor(codes, flip);
            products = I::dot_bytes(products, biased, codes);
            total = I::dot_bytes(total, ones, codes);
            I::store(words.lane, args.bias == 0 ? codes : biased);
            __builtin_memcpy(args.codes + col, words.lane, n);
        };
        std::size_t col = 0;
        for (; col + kBytes <= args.n_cols; col += kBytes) {
            __builtin_prefetch(x + col + args.ahead, 0, 2);
            step(col, kBytes);
        }
        if (col < args.n_cols) step(col, args.n_cols - col);
        const double sq_norm = static_cast<double>(sum_lanes<I>(products) - 128 * sum_lanes<I>(total));
        return {sq_norm > 0.0 ? 1.0 : 0.0, sq_norm, sq_norm, sq_norm};
    }
}

}  // namespace embmath::kernel
