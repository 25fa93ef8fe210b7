// Score matrices and their diagonals.
#pragma once

#include <cstdint>

#include "embmath/runtime.hpp"
#include "engine/rows.hpp"
#include "kernel/table.hpp"

namespace embmath::engine {

// out = alpha * score + beta: +1, -0 as it is (adding -0 keeps every sign); -1, +0 negated, zero
// staying +0; -1, 1 for one minus the cosine.
struct Orientation {
    double alpha = 1.0;
    double beta = -0.0;
};

struct MatrixSpec {
    const kernel::KernelTable& table;
    Metric metric;
    const RowReader& a;
    const RowReader& b;
    Orientation orientation;
};

// out[i][j], row-major and contiguous, of the type result_type() names.
void score_matrix(const MatrixSpec& spec, const Execution& execution, void* out);

// out[i] = score of row i of a with row i of b: canonical.
void score_pairs(const MatrixSpec& spec, const Execution& execution, void* out);

}  // namespace embmath::engine
