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

// widths and steps per block, direction; how many coordinates have codes.
using RotatedArrays = std::tuple<Dense<std::uint8_t>, Dense<float>, Dense<float>, std::int64_t>;

// Memory stays with the arrays. Throws ValueError for sizes or widths that do not go together.
RotatedGrid rotated_grid(const RotatedArrays& arrays);

// (array, dtype), or (array, dtype, coding) with coding one of
//   ("signs" or "bits", dim, flip)
//   ("scalar", dim, minimum or None, step, scope, format)
//   ("rotated", dim, RotatedArrays, scale, offset)
// Memory stays with the tuple.
class RowsArgument {
public:
    explicit RowsArgument(const py::tuple& rows);

    MatrixView view() const;

private:
    void read_scalar(const py::tuple& given);
    void read_rotated(const py::tuple& given);
    void check_sizes(const std::optional<py::array>& minimum, const py::array& step) const;

    MatrixView view_;
    std::optional<Coding> coding_;
};

}  // namespace embmath::bindings
