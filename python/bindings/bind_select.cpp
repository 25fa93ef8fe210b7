#include "array_view.hpp"

namespace embmath::bindings {

void bind_select(py::module_& m) {
    m.def("top_k",
          [](const TypedArray& array, bool largest, int threads, py::array values, py::array indices) {
              const ArrayView view = array_view(array);
              void* value_data = values.mutable_data();
              auto* index_data = static_cast<std::int64_t*>(indices.mutable_data());
              const std::int64_t k = indices.shape(1);
              run_released(threads, py::none(), [&](const Execution& execution) {
                  top_k(view, k, largest, execution, value_data, index_data);
              });
          },
          py::arg("array"), py::arg("largest"), py::arg("threads"), py::arg("values"), py::arg("indices"));
}

}  // namespace embmath::bindings
