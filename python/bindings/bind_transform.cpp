#include "array_view.hpp"
#include "embmath/transform.hpp"

namespace embmath::bindings {

void bind_transform(py::module_& m) {
    m.def("normalize",
          [](const TypedArray& x, std::int64_t n_cols, double eps, int threads, py::array out) {
              const MatrixView view = matrix_view(x);
              void* data = out.mutable_data();
              run_released(threads, py::none(), [&](const Execution& execution) { normalize(view, n_cols, eps, execution, data); });
          },
          py::arg("x"), py::arg("n_cols"), py::arg("eps"), py::arg("threads"), py::arg("out"));
    m.def("pack_bits",
          [](const TypedArray& x, double threshold, int threads, py::array out) {
              const MatrixView view = matrix_view(x);
              auto* data = static_cast<std::uint8_t*>(out.mutable_data());
              run_released(threads, py::none(), [&](const Execution& execution) { pack_bits(view, threshold, execution, data); });
          },
          py::arg("x"), py::arg("threshold"), py::arg("threads"), py::arg("out"));
    m.def("unpack_bits",
          [](const TypedArray& codes, std::int64_t n_cols, int threads, py::array out) {
              const MatrixView view = matrix_view(codes);
              auto* data = static_cast<std::uint8_t*>(out.mutable_data());
              run_released(threads, py::none(), [&](const Execution& execution) { unpack_bits(view, n_cols, execution, data); });
          },
          py::arg("codes"), py::arg("n_cols"), py::arg("threads"), py::arg("out"));
}

}  // namespace embmath::bindings
