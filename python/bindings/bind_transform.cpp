#include "array_view.hpp"
#include "embmath/transform.hpp"

namespace embmath::bindings {

void bind_transform(py::module_& m) {
    m.def("normalize",
          [](const py::array& x, const std::string& dtype, std::int64_t n_cols, double eps, int threads, py::array out) {
              const MatrixView view = matrix_view(x, dtype);
              void* data = out.mutable_data();
              run_released(threads, py::none(), [&](const Execution& execution) { normalize(view, n_cols, eps, execution, data); });
          },
          py::arg("x"), py::arg("dtype"), py::arg("n_cols"), py::arg("eps"), py::arg("threads"), py::arg("out"));
    m.def("pack_bits",
          [](const py::array& x, const std::string& dtype, double threshold, int threads, py::array out) {
              const MatrixView view = matrix_view(x, dtype);
              auto* data = static_cast<std::uint8_t*>(out.mutable_data());
              run_released(threads, py::none(), [&](const Execution& execution) { pack_bits(view, threshold, execution, data); });
          },
          py::arg("x"), py::arg("dtype"), py::arg("threshold"), py::arg("threads"), py::arg("out"));
    m.def("unpack_bits",
          [](const py::array& codes, const std::string& dtype, std::int64_t n_cols, int threads, py::array out) {
              const MatrixView view = matrix_view(codes, dtype);
              auto* data = static_cast<std::uint8_t*>(out.mutable_data());
              run_released(threads, py::none(), [&](const Execution& execution) { unpack_bits(view, n_cols, execution, data); });
          },
          py::arg("codes"), py::arg("dtype"), py::arg("n_cols"), py::arg("threads"), py::arg("out"));
}

}  // namespace embmath::bindings
