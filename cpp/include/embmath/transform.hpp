// Row transforms.
#pragma once

#include <cstdint>

#include "embmath/runtime.hpp"
#include "embmath/types.hpp"

namespace embmath {

// out[i] = x[i] / max(|x[i]|, eps), zero rows stay zero; float dtypes. The norm is the canonical
// float64 sum; each element is multiplied by its reciprocal in float64 and rounded to the dtype.
void normalize(const MatrixView& x, std::int64_t n_cols, double eps, const Execution& execution, void* out);

// bit = x > threshold (NaN: 0), most significant first, each row padded with zeros to whole bytes.
void pack_bits(const MatrixView& x, double threshold, const Execution& execution, std::uint8_t* out);

// The first `n_cols` bits of each row as bytes 0 or 1.
void unpack_bits(const MatrixView& codes, std::int64_t n_cols, const Execution& execution, std::uint8_t* out);

}  // namespace embmath
