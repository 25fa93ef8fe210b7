// Packed codes of less than a byte.
#pragma once

#include <cstdint>

#include "embmath/runtime.hpp"
#include "embmath/types.hpp"

namespace embmath {

// bit = x > threshold (NaN: 0), most significant first, each row padded with zeros to whole bytes; then
// `flip` applied to each byte by exclusive or (0x80: the byte minus 128, as int8).
void pack_bits(const MatrixView& x, double threshold, std::uint8_t flip, const Execution& execution, std::uint8_t* out);

// The first `n_cols` bits of each row: as bytes 0 and 1 (to == u8), or as -1 and 1 of a float type.
void unpack_bits(const MatrixView& codes, std::int64_t n_cols, std::uint8_t flip, Dtype to, const Execution& execution,
                 void* out);

// Bytes 0..15, two to a byte; of an odd number the last half is zero (interleaved only).
void pack_nibbles(const MatrixView& codes, NibbleLayout layout, const Execution& execution, std::uint8_t* out);
void unpack_nibbles(const MatrixView& codes, std::int64_t n_cols, NibbleLayout layout, const Execution& execution,
                    std::uint8_t* out);

}  // namespace embmath
