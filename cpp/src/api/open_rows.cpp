#include "api/open_rows.hpp"

#include <memory>

#include "dispatch/registry.hpp"

namespace embmath::api {

using engine::Decoder;

Dtype element_type(const MatrixView& rows) {
    return rows.coding == nullptr ? rows.dtype : Decoder::natural_type(*rows.coding);
}

std::int64_t columns(const MatrixView& rows) {
    return rows.coding == nullptr ? rows.n_cols : Decoder::columns(*rows.coding);
}

engine::RowReader open_rows(const MatrixView& rows, std::int64_t n_cols) {
    if (rows.coding == nullptr) return engine::RowReader(rows, n_cols);
    const Dtype to = element_type(rows);
    return engine::RowReader(rows, n_cols, std::make_shared<Decoder>(dispatch::active(), *rows.coding, rows.dtype, n_cols, to));
}

}  // namespace embmath::api
