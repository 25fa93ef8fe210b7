// Codes as Python describes them, and rows that are numbers or codes.
#pragma once

#include <optional>
#include <string>
#include <tuple>

#include "array_view.hpp"
#include "embmath/quantize.hpp"

namespace embmath::bindings {

// levels, is_signed, is_symmetric, rounding, layout ("bytes": not packed).
using Format = std::tuple<int, bool, bool, std::string, std::string>;

CodeFormat code_format(const Format& format);
Scope parse_scope(const std::string& name);
NibbleLayout parse_layout(const std::string& name);
const float* floats(const py::array& array);
CodeGrid code_grid(const std::optional<py::array>& minimum, const py::array& step, const std::string& scope, const Format& format);

// (array, dtype), or (array, dtype, coding) with coding one of
//   ("signs" or "bits", dim, flip)
//   ("scalar", dim, minimum or None, step, scope, format)
// Memory stays with the tuple.
class RowsArgument {
public:
    explicit RowsArgument(const py::tuple& rows);

    MatrixView view() const;

private:
    void check_sizes(const std::optional<py::array>& minimum, const py::array& step) const;

    MatrixView view_;
    std::optional<Coding> coding_;
};

}  // namespace embmath::bindings
