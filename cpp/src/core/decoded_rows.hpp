// Lengths of rows of codes, by which their bounds go: core/decoded_bounds.hpp says why these.
#pragma once

namespace embmath::core {

// Beyond these a row's rounding is not relative to its length, or its terms leave float32.
inline constexpr double kLeastLength = 0x1p-40, kMostLength = 0x1p50;

// No smaller than `value` >= 0: a factor does it sooner than directed rounding. (What a denormal loses
// is nothing beside the slack of a row of kLeastLength.)
inline constexpr double kAbove = 1.0 + 0x1.1p-24, kBelow = 1.0 - 0x1.1p-24;
inline constexpr double kUp = 1.0 + 0x1p-30, kDown = 1.0 - 0x1p-30;  // the same in float64

inline constexpr int kDecodedRows = 16;

// Lane by lane.
struct DecodedRows {
    double mul[kDecodedRows];    // what a unit of S is worth: s, or 1
    double start[kDecodedRows];  // what the query's <., m> is worth: m, or 1
    double reach[kDecodedRows];  // |s c~|, or |c~|; rounded up
    double offset[kDecodedRows]; // |m|, likewise
    double low[kDecodedRows], high[kDecodedRows];  // |x| lies between
    double residual[kDecodedRows];                 // |t|, rounded up

    bool is_zero(int i) const { return high[i] == 0.0; }
    bool is_usual(int i) const {
        return high[i] >= kLeastLength && high[i] <= kMostLength && reach[i] <= kMostLength && offset[i] <= kMostLength;
    }
};

}  // namespace embmath::core
