// From the codes of 16 rows to the terms of their bounds, a row per lane: core/decoded_bounds.hpp has
// the derivation. No result depends on the last bits of these, only on their being large enough.
#pragma once

#include "core/compiler.hpp"
#include "core/decoded_rows.hpp"
#include "kernel/load.hpp"
#include "kernel/table.hpp"

namespace embmath::kernel {

// Beyond 2^24 float32 would round.
template <class I>
EMBMATH_INLINE typename I::F64 exact(typename I::I32 integer) noexcept {
    const auto low = I::widen(I::to_f32(I::bit_and(integer, I::broadcast(0xfffu))));
    const auto high = I::widen(I::to_f32(I::template shift_right<12>(integer)));
    return I::fma(high, I::broadcast(4096.0), low);
}

// Over the codes of rows, counted from the middle one.
template <class I>
struct CentredMoments {
    typename I::F64 sum, sq_sum;

    EMBMATH_INLINE CentredMoments(const std::uint32_t* moments, double middle, double n_cols) noexcept {
        const auto from_zero = exact<I>(I::load(moments));
        const auto low = exact<I>(I::load(moments + isa::kLanes)), high = exact<I>(I::load(moments + 2 * isa::kLanes));
        sum = I::sub(from_zero, I::broadcast(middle * n_cols));
        const auto squares = I::add(I::fma(high, I::broadcast(16.0), low), I::broadcast(middle * middle * n_cols));
        sq_sum = I::sub(squares, I::mul(from_zero, I::broadcast(2.0 * middle)));
    }
};

// |x| of rows on grids of their own, or on one grid: |w|^2 = s^2 |c~|^2 + 2 s m <1,c~> + d m^2. Without
// moments: what lengths are at most, as no code is farther from the middle one than that is from 0.
template <class I>
void decoded_lengths(const DecodedLengthArgs& args) noexcept {
    const auto step = I::widen(I::load(args.step)), size = I::abs(step), up = I::broadcast(core::kUp), zero = I::broadcast(0.0);
    auto start = I::mul(step, I::broadcast(args.shift));
    if (args.minimum != nullptr) start = I::add(I::widen(I::load(args.minimum)), start);
    const double root = __builtin_sqrt(args.n_cols);
    const auto offset = I::mul(I::abs(start), I::broadcast(root * core::kUp));
    core::DecodedRows& rows = *args.rows;
    I::store(rows.mul, step);
    I::store(rows.start, start);
    I::store(rows.offset, offset);
    if (args.moments == nullptr) {
        const auto reach = I::mul(size, I::broadcast(args.middle * root * core::kUp));
        I::store(rows.reach, reach);
        I::store(rows.low, zero);
        I::store(rows.high, I::add(reach, offset));
        I::store(rows.residual, zero);
        return;
    }
    const CentredMoments<I> codes(args.moments, args.middle, args.n_cols);
    const auto squares = I::mul(I::mul(step, step), codes.sq_sum);
    const auto mixed = I::mul(I::mul(I::add(step, step), start), codes.sum);
    const auto offsets = I::mul(I::mul(start, start), I::broadcast(args.n_cols));
    const auto total = I::add(I::add(squares, mixed), offsets), parts = I::add(I::add(squares, I::abs(mixed)), offsets);
    const auto margin = I::mul(parts, I::broadcast(0x1p-40));
    I::store(rows.reach, I::mul(I::sqrt(squares), up));
    auto high = I::mul(I::sqrt(I::add(total, margin)), up);
    auto low = I::mul(high, I::broadcast(1.0 - 0x1p-29));
    const bool cancels = I::not_less(parts, I::mul(total, I::broadcast(4.0))) != 0;
    if (cancels) low = I::mul(I::sqrt(I::max(I::sub(total, margin), zero)), I::broadcast(core::kDown));
    auto residual = zero;
    if (args.half != 0.0) {
        const auto tops = exact<I>(I::load(args.moments + 3 * isa::kLanes));
        residual = I::mul(I::mul(size, I::broadcast(args.half * core::kUp)), I::sqrt(tops));
    }
    const auto apart = I::fma(I::add(high, residual), I::broadcast(args.decoding), residual);
    I::store(rows.high, I::add(high, apart));
    I::store(rows.low, I::max(I::sub(low, apart), zero));
    I::store(rows.residual, residual);
}

template <class I>
EMBMATH_INLINE void store_above(float* out, typename I::F64 value) noexcept {
    I::store(out, I::narrow(I::mul(value, I::broadcast(core::kAbove))));
}

// {mul, |s c~| or all of the radius, |t| or -|x|^2 / 2, m}: what differs between queries of a batch
// is worth a term of its own only where one is free.
template <class I>
std::uint32_t decoded_terms(const DecodedTermsArgs& args) noexcept {
    const core::DecodedRows& rows = *args.rows;
    const auto high = I::load(rows.high), low = I::load(rows.low), reach = I::load(rows.reach), offset = I::load(rows.offset);
    const auto mul = I::load(rows.mul), start = I::load(rows.start);
    const auto rest = I::fma(I::add(high, offset), I::broadcast(args.slack), I::load(rows.residual));
    if (args.metric == Metric::cosine) {
        const auto unit = I::div(I::broadcast(1.0), high);
        I::store(args.mul, I::narrow(I::mul(mul, unit)));
        store_above<I>(args.add[0], I::mul(reach, unit));
        store_above<I>(args.add[1], I::mul(I::add(rest, I::sub(high, low)), unit));
        I::store(args.add[2], I::narrow(I::mul(start, unit)));
    } else {
        I::store(args.mul, I::narrow(mul));
        if (args.metric == Metric::dot) {
            store_above<I>(args.add[0], reach);
            store_above<I>(args.add[1], rest);
        } else {
            store_above<I>(args.add[0], I::fma(reach, I::broadcast(args.query_residual), rest));
            I::store(args.add[1], I::narrow(I::mul(I::mul(low, low), I::broadcast(-0.5 * core::kBelow))));
        }
        I::store(args.add[2], I::narrow(start));
    }
    const auto most = I::broadcast(core::kMostLength);
    const isa::Mask unusual = I::not_less(I::broadcast(core::kLeastLength), high) | I::not_less(high, most) |
                              I::not_less(reach, most) | I::not_less(offset, most);
    return unusual & 0xffffu;
}

template <class I, class Code, bool is_clamped>
EMBMATH_INLINE void grid_sq_norms(const GridNormArgs& args) noexcept {
    const auto shift = I::broadcast(args.shift), top = I::broadcast(args.top);
    const auto rows = args.codes;
    typename I::F32 acc[kGridRows];
    EMBMATH_UNROLL
    for (int r = 0; r < kGridRows; ++r) acc[r] = I::broadcast(0.0F);
    const auto add = [&](std::size_t col, const auto& load) EMBMATH_INLINE_LAMBDA {
        const auto step = I::load(args.step + col), start = I::load(args.start + col);
        EMBMATH_UNROLL
        for (int r = 0; r < kGridRows; ++r) {
            auto place = I::add(load(static_cast<const typename Code::storage*>(rows[r]) + col), shift);
            if constexpr (is_clamped) place = I::min(place, top);
            const auto x = I::fma(place, step, start);
            acc[r] = I::fma(x, x, acc[r]);
        }
    };
    std::size_t col = 0;
    for (; col + kLanes <= args.n_cols; col += kLanes) {
        add(col, [](const auto* codes) EMBMATH_INLINE_LAMBDA { return load_f32<I, Code>(codes); });
    }
    const std::size_t left = args.n_cols - col;
    if (left > 0) add(col, [left](const auto* codes) EMBMATH_INLINE_LAMBDA { return load_f32_tail<I, Code>(codes, left); });
    EMBMATH_UNROLL
    for (int r = 0; r < kGridRows; ++r) args.sq_norms[r] = I::sum(I::widen(acc[r]));
}

// |x|^2 of what codes on a grid of columns decode to, in float32 sums of every sixteenth square.
template <class I, class Code>
void decoded_sq_norms(const GridNormArgs& args) noexcept {
    return args.is_clamped ? grid_sq_norms<I, Code, true>(args) : grid_sq_norms<I, Code, false>(args);
}

}  // namespace embmath::kernel
