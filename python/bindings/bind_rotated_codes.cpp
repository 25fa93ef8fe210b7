#include "array_view.hpp"
#include "code_arguments.hpp"
#include "embmath/errors.hpp"
#include "embmath/rotated_codes.hpp"

namespace embmath::bindings {

namespace {

AxesView axes_view(const Dense<float>& axes, const std::optional<Dense<double>>& mean) {
    if (axes.ndim() != 2 || axes.shape(0) < 1 || (mean && mean->size() != axes.shape(1))) {
        throw ValueError("axes: expected (axes, columns) and a mean of as many columns");
    }
    return {axes.data(), axes.shape(0), axes.shape(1), mean ? mean->data() : nullptr};
}

void check_size(const py::array& out, std::int64_t size) {
    if (out.size() != size) throw ValueError("out: expected " + std::to_string(size) + " elements, got " + std::to_string(out.size()));
}

void bind_rotate(py::module_& m) {
    m.def("rotate",
          [](const py::tuple& x, const Dense<float>& axes, const std::optional<Dense<double>>& mean, bool with_rest, int threads,
             const py::object& progress, Dense<float> out) {
              const RowsArgument rows(x);
              const AxesView view = axes_view(axes, mean);
              check_size(out, rows.view().n_rows * (view.n_axes + (with_rest ? 1 : 0)));
              float* data = out.mutable_data();
              run_released(threads, progress,
                           [&](const Execution& execution) { rotate(rows.view(), view, with_rest, execution, data); });
          },
          py::arg("x"), py::arg("axes"), py::arg("mean").none(true), py::arg("with_rest"), py::arg("threads"), py::arg("progress"),
          py::arg("out").noconvert());
}

}  // namespace

void bind_rotated_codes(py::module_& m) {
    bind_rotate(m);
    m.def("quantize_rotated",
          [](const TypedArray& x, const Dense<float>& axes, const std::optional<Dense<double>>& mean, const RotatedArrays& arrays,
             int threads, const py::object& progress, Dense<std::uint8_t> out, Dense<float> scale, Dense<float> offset) {
              const MatrixView view = matrix_view(x);
              const AxesView axes_of = axes_view(axes, mean);
              const RotatedGrid grid = rotated_grid(arrays);
              if (grid.n_coords != axes_of.n_axes) throw ValueError("axes: expected " + std::to_string(grid.n_coords));
              check_size(out, view.n_rows * bytes_per_row(grid));
              check_size(scale, view.n_rows);
              check_size(offset, view.n_rows);
              std::uint8_t* codes = out.mutable_data();
              float *scales = scale.mutable_data(), *offsets = offset.mutable_data();
              run_released(threads, progress, [&](const Execution& execution) {
                  quantize_rotated(view, axes_of, grid, execution, codes, scales, offsets);
              });
          },
          py::arg("x"), py::arg("axes"), py::arg("mean").none(true), py::arg("grid"), py::arg("threads"), py::arg("progress"),
          py::arg("out").noconvert(), py::arg("scale").noconvert(), py::arg("offset").noconvert());
}

}  // namespace embmath::bindings
