#include "code_arguments.hpp"

#include "embmath/errors.hpp"

namespace embmath::bindings {

namespace {

Rounding parse_rounding(const std::string& name) {
    if (name == "floor") return Rounding::floor;
    if (name == "nearest") return Rounding::nearest;
    if (name == "truncate") return Rounding::truncate;
    if (name == "ratio") return Rounding::ratio;
    throw ValueError("rounding: unknown '" + name + "'");
}

Coding::Kind parse_kind(const std::string& name) {
    if (name == "rotated") return Coding::Kind::rotated;
    return name == "scalar" ? Coding::Kind::scalar : name == "signs" ? Coding::Kind::signs : Coding::Kind::bits;
}

std::int64_t bytes_per_row(const Coding& coding) {
    if (coding.kind == Coding::Kind::rotated) return embmath::bytes_per_row(coding.rotated);
    if (coding.kind != Coding::Kind::scalar) return (coding.dim + 7) / 8;
    return coding.grid.format.is_packed ? (coding.dim + 1) / 2 : coding.dim;
}

}  // namespace

Scope parse_scope(const std::string& name) {
    return name == "dim" ? Scope::column : name == "row" ? Scope::row : Scope::all;
}

NibbleLayout parse_layout(const std::string& name) {
    return name == "split" ? NibbleLayout::split : NibbleLayout::interleaved;
}

CodeFormat code_format(const Format& format) {
    const auto& [levels, is_signed, is_symmetric, rounding, layout] = format;
    return {levels, is_signed, is_symmetric, parse_rounding(rounding), layout != "bytes", parse_layout(layout)};
}

const float* floats(const py::array& array) { return static_cast<const float*>(array.data()); }

CodeGrid code_grid(const std::optional<py::array>& minimum, const py::array& step, const std::string& scope, const Format& format) {
    return {minimum ? floats(*minimum) : nullptr, floats(step), parse_scope(scope), code_format(format)};
}

RotatedGrid rotated_grid(const RotatedArrays& arrays) {
    const auto& [widths, steps, direction, n_coded] = arrays;
    const RotatedGrid grid{widths.data(), steps.data(), direction.data(), n_coded, direction.size()};
    const std::int64_t n_blocks = (n_coded + kGridBlock - 1) / kGridBlock;
    if (n_coded < 1 || n_coded > grid.n_coords || widths.size() != n_blocks || steps.size() != n_blocks) {
        throw ValueError("codes: expected a width and a step for each of " + std::to_string(n_blocks) + " blocks of " +
                         std::to_string(grid.n_coords) + " coordinates, got " + std::to_string(widths.size()) + " and " +
                         std::to_string(steps.size()));
    }
    for (std::int64_t i = 0; i < n_blocks; ++i) {
        if (grid.widths[i] >= 1 && grid.widths[i] <= kMostWidth) continue;
        throw ValueError("codes: expected widths from 1 to 8, got " + std::to_string(grid.widths[i]));
    }
    return grid;
}

RowsArgument::RowsArgument(const py::tuple& rows)
    : view_(matrix_view({rows[0].cast<py::array>(), rows[1].cast<std::string>()})) {
    if (rows.size() == 2) return;
    const auto given = rows[2].cast<py::tuple>();
    Coding& coding = coding_.emplace();
    coding.kind = parse_kind(given[0].cast<std::string>());
    coding.dim = given[1].cast<std::int64_t>();
    if (coding.kind == Coding::Kind::scalar) {
        read_scalar(given);
    } else if (coding.kind == Coding::Kind::rotated) {
        read_rotated(given);
    } else {
        coding.flip = given[2].cast<std::uint8_t>();
    }
    if (coding.dim < 0 || bytes_per_row(coding) != view_.n_cols) {
        throw ValueError("codes: expected " + std::to_string(bytes_per_row(coding)) + " bytes per row of " +
                         std::to_string(coding.dim) + " dimensions, got " + std::to_string(view_.n_cols));
    }
}

void RowsArgument::read_scalar(const py::tuple& given) {
    const auto minimum = given[2].cast<std::optional<py::array>>();
    const auto step = given[3].cast<py::array>();
    coding_->grid = code_grid(minimum, step, given[4].cast<std::string>(), given[5].cast<Format>());
    check_sizes(minimum, step);
}

void RowsArgument::read_rotated(const py::tuple& given) {
    Coding& coding = *coding_;
    coding.rotated = rotated_grid(given[2].cast<RotatedArrays>());
    const auto scale = given[3].cast<Dense<float>>(), offset = given[4].cast<Dense<float>>();
    const std::int64_t n_coords = coding.rotated.n_coords;
    if (scale.size() != view_.n_rows || offset.size() != view_.n_rows || coding.dim < n_coords || coding.dim > n_coords + 1) {
        throw ValueError("codes: expected a scale and an offset for each of " + std::to_string(view_.n_rows) + " rows and " +
                         std::to_string(n_coords) + " coordinates, got " + std::to_string(scale.size()) + ", " +
                         std::to_string(offset.size()) + " and " + std::to_string(coding.dim));
    }
    coding.scale = scale.data();
    coding.offset = offset.data();
}

// Codes are a dataclass: anybody can put one together.
void RowsArgument::check_sizes(const std::optional<py::array>& minimum, const py::array& step) const {
    const Scope scope = coding_->grid.scope;
    const std::int64_t wanted = scope == Scope::row ? view_.n_rows : scope == Scope::column ? coding_->dim : 1;
    const auto check = [&](const char* name, const py::array& array) {
        if (array.size() == wanted && py::isinstance<py::array_t<float, py::array::c_style>>(array)) return;
        throw ValueError(std::string("codes: expected ") + std::to_string(wanted) + " elements of " + name + ", got " +
                         std::to_string(array.size()));
    };
    check("step", step);
    if (minimum) check("minimum", *minimum);
}

MatrixView RowsArgument::view() const {
    MatrixView view = view_;
    view.coding = coding_ ? &*coding_ : nullptr;
    return view;
}

}  // namespace embmath::bindings
