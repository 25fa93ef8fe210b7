#include "array_view.hpp"
#include "code_arguments.hpp"
#include "embmath/bits.hpp"
#include "embmath/errors.hpp"
#include "embmath/quantize.hpp"

namespace embmath::bindings {

namespace {

float* writable_floats(py::object& array) {
    return array.is_none() ? nullptr : static_cast<float*>(array.cast<py::array>().mutable_data());
}

void bind_bits(py::module_& m) {
    m.def("pack_bits",
          [](const TypedArray& x, double threshold, int flip, int threads, py::array out) {
              const MatrixView view = matrix_view(x);
              auto* data = static_cast<std::uint8_t*>(out.mutable_data());
              run_released(threads, py::none(), [&](const Execution& execution) {
                  pack_bits(view, threshold, static_cast<std::uint8_t>(flip), execution, data);
              });
          },
          py::arg("x"), py::arg("threshold"), py::arg("flip"), py::arg("threads"), py::arg("out"));
    m.def("unpack_bits",
          [](const TypedArray& codes, std::int64_t n_cols, int flip, const std::string& dtype, int threads, py::array out) {
              const MatrixView view = matrix_view(codes);
              const Dtype to = parse_dtype(dtype);
              void* data = out.mutable_data();
              run_released(threads, py::none(), [&](const Execution& execution) {
                  unpack_bits(view, n_cols, static_cast<std::uint8_t>(flip), to, execution, data);
              });
          },
          py::arg("codes"), py::arg("n_cols"), py::arg("flip"), py::arg("dtype"), py::arg("threads"), py::arg("out"));
    m.def("pack_nibbles",
          [](const TypedArray& codes, const std::string& layout, int threads, py::array out) {
              const MatrixView view = matrix_view(codes);
              auto* data = static_cast<std::uint8_t*>(out.mutable_data());
              run_released(threads, py::none(), [&](const Execution& execution) {
                  pack_nibbles(view, parse_layout(layout), execution, data);
              });
          },
          py::arg("codes"), py::arg("layout"), py::arg("threads"), py::arg("out"));
    m.def("unpack_nibbles",
          [](const TypedArray& codes, std::int64_t n_cols, const std::string& layout, int threads, py::array out) {
              const MatrixView view = matrix_view(codes);
              auto* data = static_cast<std::uint8_t*>(out.mutable_data());
              run_released(threads, py::none(), [&](const Execution& execution) {
                  unpack_nibbles(view, n_cols, parse_layout(layout), execution, data);
              });
          },
          py::arg("codes"), py::arg("n_cols"), py::arg("layout"), py::arg("threads"), py::arg("out"));
}

void bind_ranges(py::module_& m) {
    m.def("range_steps",
          [](const py::array& ranges, int levels, py::array out) {
              const std::int64_t n = ranges.shape(1);
              range_steps(floats(ranges), floats(ranges) + n, n, levels, static_cast<float*>(out.mutable_data()));
          },
          py::arg("ranges"), py::arg("levels"), py::arg("out"));
    m.def("fit_ranges",
          [](const TypedArray& x, std::optional<double> quantile, const std::string& scope, int threads, py::array out) {
              const MatrixView view = matrix_view(x);
              auto* low = static_cast<float*>(out.mutable_data());
              float* high = low + out.shape(1);
              run_released(threads, py::none(), [&](const Execution& execution) {
                  if (quantile) return fit_quantiles(view, *quantile, parse_scope(scope), execution, low, high);
                  fit_ranges(view, parse_scope(scope), execution, low, high);
              });
          },
          py::arg("x"), py::arg("quantile"), py::arg("scope"), py::arg("threads"), py::arg("out"));
}

}  // namespace

void bind_quantize(py::module_& m) {
    bind_bits(m);
    bind_ranges(m);
    m.def("quantize",
          [](const TypedArray& x, const py::array& ranges, const Format& format, int threads, py::array out) {
              const MatrixView view = matrix_view(x);
              const CodeFormat code = code_format(format);
              const Scope scope = ranges.shape(1) == view.n_cols ? Scope::column : Scope::all;
              const float *low = floats(ranges), *high = low + ranges.shape(1);
              void* data = out.mutable_data();
              run_released(threads, py::none(), [&](const Execution& execution) {
                  quantize(view, low, high, scope, code, execution, data);
              });
          },
          py::arg("x"), py::arg("ranges"), py::arg("format"), py::arg("threads"), py::arg("out"));
    m.def("quantize_rows",
          [](const TypedArray& x, const Format& format, int threads, py::array out, py::object minimum, py::object step) {
              const MatrixView view = matrix_view(x);
              const CodeFormat code = code_format(format);
              float *minimums = writable_floats(minimum), *steps = writable_floats(step);
              void* data = out.mutable_data();
              run_released(threads, py::none(), [&](const Execution& execution) {
                  quantize_rows(view, code, execution, data, minimums, steps);
              });
          },
          py::arg("x"), py::arg("format"), py::arg("threads"), py::arg("out"), py::arg("minimum"), py::arg("step"));
    m.def("dequantize",
          [](const TypedArray& codes, std::int64_t n_cols, const std::optional<py::array>& minimum, const py::array& step,
             const std::string& scope, const Format& format, bool center, const std::string& dtype, int threads, py::array out) {
              const MatrixView view = matrix_view(codes);
              CodeGrid grid = code_grid(minimum, step, scope, format);
              grid.center = center;
              const Dtype to = parse_dtype(dtype);
              void* data = out.mutable_data();
              run_released(threads, py::none(), [&](const Execution& execution) {
                  dequantize(view, n_cols, grid, to, execution, data);
              });
          },
          py::arg("codes"), py::arg("n_cols"), py::arg("minimum"), py::arg("step"), py::arg("scope"), py::arg("format"),
          py::arg("center"), py::arg("dtype"), py::arg("threads"), py::arg("out"));
    m.def("convert",
          [](const TypedArray& x, const std::string& dtype, int threads, py::array out) {
              const MatrixView view = matrix_view(x);
              const Dtype to = parse_dtype(dtype);
              void* data = out.mutable_data();
              run_released(threads, py::none(), [&](const Execution& execution) { convert(view, to, execution, data); });
          },
          py::arg("x"), py::arg("dtype"), py::arg("threads"), py::arg("out"));
}

}  // namespace embmath::bindings
