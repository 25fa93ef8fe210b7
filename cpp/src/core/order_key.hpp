// 64-bit order keys: comparing two keys as unsigned integers compares (score, then lowest row).
//
//   key = order(score) << 32 | ~row
//
// order() maps float32 to uint32 monotonically (flip the sign bit of non-negatives, all bits of
// negatives); complementing the row makes the lower row the larger key.
#pragma once

#include <cstdint>

#include "core/compiler.hpp"
#include "core/dtype.hpp"

namespace embmath::core {

using Key = std::uint64_t;

// Positive NaN maps above +inf: an estimate that is not a number is verified first, never dropped.
EMBMATH_INLINE std::uint32_t order_bits(float score) noexcept {
    const std::int32_t bits = bit_cast<std::int32_t>(score);
    return static_cast<std::uint32_t>(bits) ^ (static_cast<std::uint32_t>(bits >> 31) | 0x80000000u);
}

EMBMATH_INLINE float score_of_order(std::uint32_t order) noexcept {
    return bit_cast<float>(order & 0x80000000u ? order ^ 0x80000000u : ~order);
}

EMBMATH_INLINE Key make_key(float score, std::uint32_t row) noexcept {
    return static_cast<Key>(order_bits(score)) << 32 | static_cast<std::uint32_t>(~row);
}

EMBMATH_INLINE float key_score(Key key) noexcept { return score_of_order(static_cast<std::uint32_t>(key >> 32)); }
EMBMATH_INLINE std::uint32_t key_row(Key key) noexcept { return ~static_cast<std::uint32_t>(key); }

}  // namespace embmath::core
