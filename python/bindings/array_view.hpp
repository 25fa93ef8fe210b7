// NumPy arrays as MatrixView, and long calls under Python's rules (signals, progress, the GIL).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "embmath/index.hpp"
#include "embmath/runtime.hpp"
#include "embmath/search.hpp"
#include "embmath/select.hpp"
#include "embmath/types.hpp"

namespace embmath::bindings {

namespace py = pybind11;

// A 2-D array and the name of its element type: bfloat16 travels as uint16.
using TypedArray = std::pair<py::array, std::string>;

template <class T>
using Dense = py::array_t<T, py::array::c_style>;
// Mean, vectors, spread, and the defect where it is known.
using BasisArrays = std::tuple<Dense<double>, Dense<float>, Dense<double>, std::optional<double>>;

MatrixView matrix_view(const TypedArray& typed);
ArrayView array_view(const TypedArray& typed);
Metric parse_metric(const std::string& name);
CodeKind parse_code_kind(const std::string& name);
Dtype parse_dtype(const std::string& name);
StageKind parse_stage(const std::string& name);
std::shared_ptr<const Basis> as_basis(const std::optional<BasisArrays>& arrays);
py::dtype result_dtype(ResultType type);

// Keeps an array alive for whoever reads its memory later. The last one to let go may be a thread
// without the GIL, or come after the interpreter: then the memory is left to the end of the process.
std::shared_ptr<const void> keep_alive(const py::array& array);

// Lets Ctrl-C interrupt and progress callbacks run, from the calling thread of a long operation.
class PythonMonitor final : public Monitor {
public:
    explicit PythonMonitor(py::object progress) : progress_(std::move(progress)) {}
    void poll(double fraction_done) override;

private:
    py::object progress_;  // callable(fraction) or None
};

// Gives up the GIL. A daemon thread that asks for it back while the interpreter ends is unwound by
// CPython (before 3.14), through frames that pool threads still work for: it sleeps instead.
class ReleasedGil {
public:
    ReleasedGil() : state_(PyEval_SaveThread()) {}
    ~ReleasedGil();
    ReleasedGil(const ReleasedGil&) = delete;
    ReleasedGil& operator=(const ReleasedGil&) = delete;

private:
    PyThreadState* state_;
};

// Runs `function(execution)` without the GIL, in the default floating-point environment.
template <class Function>
decltype(auto) run_released(int threads, const py::object& progress, const Function& function) {
    PythonMonitor monitor(progress);
    const Execution execution{threads, &monitor};
    const ReleasedGil released;
    const DefaultFloatEnvironment environment;
    return function(execution);
}

void bind_index(py::module_& m);
void bind_quantize(py::module_& m);
void bind_rotated_codes(py::module_& m);
void bind_runtime(py::module_& m);
void bind_search(py::module_& m);
void bind_select(py::module_& m);
void bind_similarity(py::module_& m);
void bind_transform(py::module_& m);
void register_exceptions();

}  // namespace embmath::bindings
