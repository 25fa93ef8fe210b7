#include "embmath/select.hpp"

#include <string>

#include "dispatch/registry.hpp"
#include "embmath/errors.hpp"
#include "engine/top_k.hpp"

namespace embmath {

void top_k(const ArrayView& array, std::int64_t k, bool largest, const Execution& execution, void* values,
           std::int64_t* indices) {
    if (k < 0 || k > array.n_cols) {
        throw ValueError("k: must be between 0 and " + std::to_string(array.n_cols) + ", got " + std::to_string(k));
    }
    engine::top_k(dispatch::active(), array, k, largest, execution, values, indices);
}

}  // namespace embmath
