#include "array_view.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <cxxabi.h>
#include <unistd.h>

#include "embmath/errors.hpp"

namespace embmath::bindings {

namespace {

template <class Enum, std::size_t N>
Enum parse(const std::array<std::string_view, N>& names, const std::string& name, const char* argument) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found != names.end()) return static_cast<Enum>(found - names.begin());
    std::string message(argument);
    message.append(": unknown '").append(name).append("', expected one of:");
    for (const std::string_view each : names) message.append(1, ' ').append(each);
    throw ValueError(message);
}

// In the order of the enums.
constexpr std::array<std::string_view, 8> kArrayTypes{"float16", "bfloat16", "float32", "float64",
                                                      "int8",    "uint8",    "int32",   "int64"};
constexpr std::array<std::string_view, kDtypeCount> kDtypes{"float16", "bfloat16", "float32", "float64", "int8", "uint8"};
constexpr std::array<std::string_view, kMetricCount> kMetrics{"cosine",    "dot",     "euclidean", "sqeuclidean",
                                                              "manhattan", "hamming", "jaccard"};

[[noreturn]] void sleep_forever() {
    for (;;) pause();
}

template <class View>
View make_view(const py::array& array) {
    if (array.ndim() != 2) throw ValueError("array: expected 2 dimensions, got " + std::to_string(array.ndim()));
    View view;
    view.data = array.data();
    view.n_rows = array.shape(0);
    view.n_cols = array.shape(1);
    view.row_stride = array.strides(0);
    view.col_stride = array.strides(1);
    return view;
}

}  // namespace

MatrixView matrix_view(const TypedArray& typed) {
    auto view = make_view<MatrixView>(typed.first);
    view.dtype = parse_dtype(typed.second);
    return view;
}

ArrayView array_view(const TypedArray& typed) {
    auto view = make_view<ArrayView>(typed.first);
    view.type = parse<ArrayType>(kArrayTypes, typed.second, "dtype");
    return view;
}

Dtype parse_dtype(const std::string& name) { return parse<Dtype>(kDtypes, name, "dtype"); }

CodeKind parse_code_kind(const std::string& name) { return parse<CodeKind>(kCodeKindNames, name, "codes"); }

Metric parse_metric(const std::string& name) { return parse<Metric>(kMetrics, name, "metric"); }

StageKind parse_stage(const std::string& name) {
    constexpr std::array<std::string_view, 13> kStages{
        "float32", "int8", "int8_wide", "decoded", "decoded_wide", "prefix", "prefix_wide", "prefix_long", "prefix_long_wide",
        "int4", "int4_wide", "int4_long", "int4_long_wide"};
    return parse<StageKind>(kStages, name, "stage");
}

std::shared_ptr<const Basis> as_basis(const std::optional<BasisArrays>& arrays) {
    if (!arrays) return nullptr;
    const auto as_vector = [](const auto& array) { return std::vector(array.data(), array.data() + array.size()); };
    const auto& [mean, vectors, spread, defect] = *arrays;
    return std::make_shared<const Basis>(Basis{as_vector(mean), as_vector(vectors), as_vector(spread), defect});
}

py::dtype result_dtype(ResultType type) {
    switch (type) {
        case ResultType::f64: return py::dtype::of<double>();
        case ResultType::i32: return py::dtype::of<std::int32_t>();
        case ResultType::i64: return py::dtype::of<std::int64_t>();
        case ResultType::f32: break;
    }
    return py::dtype::of<float>();
}

std::shared_ptr<const void> keep_alive(const py::array& array) {
    PyObject* object = array.ptr();
    Py_INCREF(object);
    return {object, [](const void* owned) {
        if (!Py_IsInitialized()) return;
        try {
            const py::gil_scoped_acquire acquire;
            Py_DECREF(static_cast<PyObject*>(const_cast<void*>(owned)));
        } catch (const abi::__forced_unwind&) {
            sleep_forever();
        }
    }};
}

ReleasedGil::~ReleasedGil() {
    try {
        PyEval_RestoreThread(state_);
    } catch (const abi::__forced_unwind&) {
        sleep_forever();
    }
}

void PythonMonitor::poll(double fraction_done) {
    try {
        const py::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        if (!progress_.is_none() && fraction_done >= 0.0) progress_(fraction_done);
    } catch (const abi::__forced_unwind&) {
        sleep_forever();
    }
}

}  // namespace embmath::bindings
