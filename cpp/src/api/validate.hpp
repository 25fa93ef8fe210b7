// Checks shared by the public functions: clear, early, and by the name of the argument.
#pragma once

#include <cstdint>

#include "embmath/types.hpp"

namespace embmath::api {

struct Names {
    const char* a;
    const char* b;
};

// The pair of dtypes means something for the metric. Throws TypeError.
void check_dtypes(Metric metric, Dtype a, Dtype b, Names names);

// Both have at least `n_cols` columns and, unless a prefix was asked for, the same number.
void check_columns(const MatrixView& a, const MatrixView& b, std::int64_t n_cols, Names names);

const char* name_of(Metric metric);

}  // namespace embmath::api
