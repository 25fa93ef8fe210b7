#include "array_view.hpp"

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
    using namespace embmath::bindings;
    m.doc() = "Kernels of embmath. Private: use the functions of the embmath package.";
    register_exceptions();
    bind_runtime(m);
    bind_similarity(m);
    bind_search(m);
    bind_index(m);
    bind_select(m);
    bind_transform(m);
    bind_quantize(m);
    bind_rotated_codes(m);
}
