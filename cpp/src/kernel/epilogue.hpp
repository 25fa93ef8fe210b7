// What happens to a tile's sums: compare and keep (search), or finish and write (matrices).
#pragma once

#include "core/compiler.hpp"
#include "core/order_key.hpp"
#include "isa/concept.hpp"
#include "kernel/load.hpp"
#include "kernel/table.hpp"

namespace embmath::kernel {

// Upper bound of 16 rows from their sums; NaN (no bound) becomes +inf, which nothing outranks.
template <class I, SelectOp op>
EMBMATH_INLINE typename I::F32 upper_bound(const SelectArgs& args, std::size_t first) noexcept {
    const auto add_scale = I::broadcast(args.add_scale);
    const auto add = I::load(args.add + first);
    typename I::F32 bound;
    if constexpr (op == SelectOp::ratio_i32) {
        const auto shared = I::to_f32(I::load(static_cast<const std::uint32_t*>(args.scores) + first));
        bound = I::div(shared, I::sub(I::add(add, add_scale), shared));
    } else {
        typename I::F32 sum;
        if constexpr (op == SelectOp::affine_i32) {
            sum = I::to_f32(I::load(static_cast<const std::uint32_t*>(args.scores) + first));
        } else {
            sum = I::load(static_cast<const float*>(args.scores) + first);
        }
        bound = I::fma(add, add_scale, I::mul(sum, I::load(args.mul + first)));
    }
    return I::min(bound, I::broadcast(__builtin_inff()));
}

EMBMATH_INLINE isa::Mask permitted(const SelectArgs& args, isa::Mask mask, const std::uint32_t* ids) noexcept {
    isa::Mask kept = 0;
    for (; mask != 0; mask &= mask - 1) {
        const int lane = __builtin_ctz(mask);
        const bool is_allowed = args.allowed == nullptr || args.allowed[ids[lane]] != 0;
        if (is_allowed && ids[lane] != args.excluded) kept |= isa::Mask{1} << lane;
    }
    return kept;
}

template <class I, SelectOp op>
std::size_t select(const SelectArgs& args) noexcept {
    constexpr std::uint32_t kNone = 0xffffffffu;
    const bool has_own_mask = args.allowed != nullptr || args.excluded != kNone;
    const auto threshold = I::broadcast(args.threshold);
    std::size_t count = 0;
    for (std::size_t block = 0; block < args.n_blocks; ++block) {
        const std::size_t first = block * isa::kLanes;
        const auto bound = upper_bound<I, op>(args, first);
        isa::Mask mask = I::not_less(bound, threshold) & args.valid[block];
        if (mask == 0) continue;
        if (has_own_mask) mask = permitted(args, mask, args.ids + first);
        count += static_cast<std::size_t>(I::push_keys(args.keys + count, mask, bound, args.ids + first));
    }
    return count;
}

constexpr bool is_product(FinishOp op) { return op == FinishOp::scaled || op == FinishOp::clamped; }

// Lanes whose value may be off by more than the float32 bound; NaN counts.
template <class I, FinishOp op>
EMBMATH_INLINE isa::Mask suspects(typename I::F32 sum, typename I::F32 value) noexcept {
    if constexpr (is_product(op)) {
        const auto magnitude = I::abs(value);
        const isa::Mask overflowed = I::not_less(magnitude, I::broadcast(__builtin_inff()));
        const isa::Mask tiny = ~I::not_less(magnitude, I::broadcast(kTinyProduct));
        return overflowed | (tiny & I::not_less(I::abs(sum), I::broadcast(0x1p-149F)));
    } else {
        return ~I::not_less(sum, I::broadcast(kLeastDifference)) | I::not_less(sum, I::broadcast(kMostDifference));
    }
}

template <class I, FinishOp op>
EMBMATH_INLINE typename I::F32 finish_lanes(const FinishArgs& args, const float* scores, const float* mul,
                                            isa::Mask& suspect) noexcept {
    const auto sum = I::load(scores);
    auto value = sum;
    if constexpr (is_product(op)) {
        // The factors first: sum * mul alone may fall among the denormals and lose bits.
        value = I::mul(value, I::mul(I::load(mul), I::broadcast(args.query_mul)));
    }
    suspect |= suspects<I, op>(sum, value);
    if constexpr (op == FinishOp::clamped) {  // operand order keeps NaN
        value = I::min(I::broadcast(1.0F), I::max(I::broadcast(-1.0F), value));
    }
    if constexpr (op == FinishOp::root) value = I::sqrt(value);
    return I::add(I::mul(value, I::broadcast(args.alpha)), I::broadcast(args.beta));
}

template <class I, FinishOp op>
bool finish(const FinishArgs& args) noexcept {
    isa::Mask suspect = 0;
    std::size_t col = 0;
    for (; col + isa::kLanes <= args.n_cols; col += isa::kLanes) {
        I::store(args.out + col, finish_lanes<I, op>(args, args.scores + col, args.mul + col, suspect));
    }
    if (col < args.n_cols) {
        Buffer<float> tail;
        const std::size_t left = args.n_cols - col;
        const auto scores = copy_tail(args.scores + col, left);
        const auto mul = copy_tail(args.mul + col, left);
        isa::Mask tail_suspect = 0;
        I::store(tail.lane, finish_lanes<I, op>(args, scores.lane, mul.lane, tail_suspect));
        suspect |= tail_suspect & ((isa::Mask{1} << left) - 1);  // padding looks like a difference of 0
        __builtin_memcpy(args.out + col, tail.lane, left * sizeof(float));
    }
    return (suspect & 0xffffu) != 0;
}

}  // namespace embmath::kernel
