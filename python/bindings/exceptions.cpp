#include "array_view.hpp"
#include "embmath/errors.hpp"

namespace embmath::bindings {

// The one mapping from C++ errors to Python's; std::bad_alloc becomes MemoryError by default.
void register_exceptions() {
    py::register_local_exception_translator([](std::exception_ptr error) {
        try {
            if (error) std::rethrow_exception(error);
        } catch (const TypeError& e) {
            PyErr_SetString(PyExc_TypeError, e.what());
        } catch (const ValueError& e) {
            PyErr_SetString(PyExc_ValueError, e.what());
        } catch (const MemoryError& e) {
            PyErr_SetString(PyExc_MemoryError, e.what());
        }
    });
}

}  // namespace embmath::bindings
