// What happens to a tile's sums: compare and keep (search), or finish and write (matrices).
#pragma once

#include "core/compiler.hpp"
#include "core/order_key.hpp"
#include "isa/concept.hpp"
#include "kernel/load.hpp"
#include "kernel/table.hpp"

namespace embmath::kernel {

constexpr int n_terms(SelectOp op) {
    switch (op) {
        case SelectOp::affine_i32_2:
        case SelectOp::wide_i32_2: return 2;
        case SelectOp::affine_i32_3:
        case SelectOp::wide_i32_3: return 3;
        default: return 1;
    }
}
constexpr bool is_wide(SelectOp op) {
    return op == SelectOp::wide_i32_1 || op == SelectOp::wide_i32_2 || op == SelectOp::wide_i32_3;
}

template <class I, SelectOp op>
EMBMATH_INLINE typename I::F32 tile_sum(const SelectArgs& args, std::size_t first) noexcept {
    if constexpr (op == SelectOp::affine_f32_1) {
        return I::load(static_cast<const float*>(args.scores) + first);
    } else {
        const auto sum = I::to_f32(I::load(static_cast<const std::uint32_t*>(args.scores) + first));
        if constexpr (!is_wide(op)) return sum;
        const auto low = I::to_f32(I::load(static_cast<const std::uint32_t*>(args.low_scores) + first));
        return I::fma(sum, I::broadcast(static_cast<float>(kDigitBase)), low);
    }
}

// Upper bound of 16 rows from their sums; NaN: no bound.
template <class I, SelectOp op>
EMBMATH_INLINE typename I::F32 upper_bound(const SelectArgs& args, std::size_t first) noexcept {
    const auto sum = tile_sum<I, op>(args, first);
    typename I::F32 bound;
    if constexpr (op == SelectOp::ratio_i32) {
        bound = I::div(sum, I::sub(I::add(I::load(args.add[0] + first), I::broadcast(args.constant)), sum));
    } else {
        constexpr int kTerms = n_terms(op);
        bound = I::broadcast(args.constant);
        for (int i = 0; i < kTerms; ++i) {
            bound = I::fma(I::load(args.add[i] + first), I::broadcast(args.weight[i]), bound);
        }
        bound = I::fma(sum, I::mul(I::load(args.mul + first), I::broadcast(args.scale)), bound);
    }
    return bound;
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

// One block's survivors. Without a bound the key says +inf, which nothing outranks.
template <class I>
EMBMATH_INLINE std::size_t keep(const SelectArgs& args, std::size_t block, typename I::F32 bound, isa::Mask mask,
                                core::Key* keys) noexcept {
    constexpr std::uint32_t kNone = 0xffffffffu;
    const std::uint32_t* ids = args.ids + block * isa::kLanes;
    mask &= args.valid[block];
    if (args.allowed != nullptr || args.excluded != kNone) mask = permitted(args, mask, ids);
    if (mask == 0) return 0;
    return static_cast<std::size_t>(I::push_keys(keys, mask, I::min(bound, I::broadcast(__builtin_inff())), ids));
}

// Four blocks at a time: with a good threshold most groups hold no survivor and cost one branch.
template <class I, SelectOp op>
std::size_t select(const SelectArgs& args) noexcept {
    constexpr int kTogether = 4;
    const auto threshold = I::broadcast(args.threshold);
    std::size_t count = 0, block = 0;
    for (; block + kTogether <= args.n_blocks; block += kTogether) {
        typename I::F32 bound[kTogether];
        isa::Mask mask[kTogether], any = 0;
        EMBMATH_UNROLL
        for (int i = 0; i < kTogether; ++i) {
            bound[i] = upper_bound<I, op>(args, (block + i) * isa::kLanes);
            mask[i] = I::not_less(bound[i], threshold);
            any |= mask[i];
        }
        if (any == 0) continue;
        EMBMATH_UNROLL
        for (int i = 0; i < kTogether; ++i) {
            if (mask[i] != 0) count += keep<I>(args, block + i, bound[i], mask[i], args.keys + count);
        }
    }
    for (; block < args.n_blocks; ++block) {
        const auto bound = upper_bound<I, op>(args, block * isa::kLanes);
        count += keep<I>(args, block, bound, I::not_less(bound, threshold), args.keys + count);
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
