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
}

}  // namespace embmath::bindings
