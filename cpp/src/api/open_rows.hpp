// Rows as callers hand them over, numbers or codes, as the engine reads them.
#pragma once

#include <cstdint>

#include "embmath/types.hpp"
#include "engine/rows.hpp"

namespace embmath::api {

// Element type and columns of what is read, which codes decode to.
Dtype element_type(const MatrixView& rows);
std::int64_t columns(const MatrixView& rows);

engine::RowReader open_rows(const MatrixView& rows, std::int64_t n_cols);

}  // namespace embmath::api
