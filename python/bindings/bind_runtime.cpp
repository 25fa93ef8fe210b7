#include "array_view.hpp"

namespace embmath::bindings {

void bind_runtime(py::module_& m) {
    m.def("version", &version);
    m.def("compiler", &compiler_description);
    m.def("available_isas", &available_isas);
    m.def("active_isa", &active_isa);
    m.def("multiplies_bytes", &multiplies_bytes);
    m.def("check_forced_isa", &check_forced_isa);
    m.def("force_isa", &force_isa, py::arg("name"));
    m.def("available_memory", &available_memory);
    m.def("require_memory", &require_memory, py::arg("bytes"), py::arg("what"));
    m.def("set_default_threads", &set_default_threads, py::arg("count"));
    m.def("default_threads", [] {
        const ThreadChoice choice = default_threads();
        return py::make_tuple(choice.count, choice.source);
    });
}

}  // namespace embmath::bindings
