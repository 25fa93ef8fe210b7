// Row transforms.
#pragma once

#include <cstdint>

#include "embmath/runtime.hpp"
#include "embmath/types.hpp"

namespace embmath {

// out[i] = x[i] / max(|x[i]|, eps), zero rows stay zero; float dtypes. The norm is the canonical
// float64 sum; each element is multiplied by its reciprocal in float64 and rounded to the dtype.
void normalize(const MatrixView& x, std::int64_t n_cols, double eps, const Execution& execution, void* out);

}  // namespace embmath
