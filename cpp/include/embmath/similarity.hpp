// Score matrices: every row of a with every row of b, or row i with row i.
#pragma once

#include <cstdint>

#include "embmath/runtime.hpp"
#include "embmath/types.hpp"

namespace embmath {

// What a matrix holds: similarities (distances negated) or distances (cosine as 1 - cos).
enum class ScoreKind : std::uint8_t { similarity, distance };

// Type of the elements that the functions below write. Throws TypeError for dtypes the metric does
// not take, or that do not go together.
ResultType score_type(Metric metric, const MatrixView& a, const MatrixView& b, std::int64_t n_cols);

// `n_cols`: leading columns used (bytes for packed bits). `out`: contiguous, a.n_rows x b.n_rows.
void score_matrix(const MatrixView& a, const MatrixView& b, std::int64_t n_cols, Metric metric, ScoreKind kind,
                  const Execution& execution, void* out);

// Canonical scores of row i of a with row i of b.
void score_pairs(const MatrixView& a, const MatrixView& b, std::int64_t n_cols, Metric metric, ScoreKind kind,
                 const Execution& execution, void* out);

}  // namespace embmath
