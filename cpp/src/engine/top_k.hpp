// The k best elements of every row of an array.
#pragma once

#include <cstdint>

#include "embmath/runtime.hpp"
#include "embmath/select.hpp"
#include "kernel/table.hpp"

namespace embmath::engine {

// values[i][k] of the array's own type and indices[i][k]; k <= n_cols. Lowest index first among
// equals, NaN after everything else.
void top_k(const kernel::KernelTable& table, const ArrayView& array, std::int64_t k, bool largest,
           const Execution& execution, void* values, std::int64_t* indices);

}  // namespace embmath::engine
