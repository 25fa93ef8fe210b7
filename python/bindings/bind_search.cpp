#include "array_view.hpp"
#include "embmath/search.hpp"
#include "embmath/similarity.hpp"

namespace embmath::bindings {

namespace {

// `mask`: uint8, C-contiguous, (n,) or (nq, n).
SearchOptions options(const std::string& metric, std::int64_t n_cols, const std::optional<py::array>& mask,
                      bool exclude_self, std::optional<double> threshold, bool reject_nan) {
    SearchOptions o;
    o.metric = parse_metric(metric);
    o.n_cols = n_cols;
    if (mask) {
        o.mask = static_cast<const std::uint8_t*>(mask->data());
        o.mask_stride = mask->ndim() == 2 ? mask->shape(1) : 0;
    }
    o.exclude_self = exclude_self;
    o.threshold = threshold;
    o.reject_nan_queries = reject_nan;
    return o;
}

template <class To, class From>
py::array to_array(const std::vector<From>& from) {
    py::array_t<To> out(static_cast<py::ssize_t>(from.size()));
    To* data = out.mutable_data();
    for (std::size_t i = 0; i < from.size(); ++i) data[i] = static_cast<To>(from[i]);
    return out;
}

py::array values_array(ResultType type, const std::vector<double>& values) {
    switch (type) {
        case ResultType::f64: return to_array<double>(values);
        case ResultType::i32: return to_array<std::int32_t>(values);
        case ResultType::i64: return to_array<std::int64_t>(values);
        case ResultType::f32: break;
    }
    return to_array<float>(values);
}

void py_search(const TypedArray& queries, const TypedArray& corpus, std::int64_t n_cols, const std::string& metric,
               const std::optional<py::array>& mask, bool exclude_self, std::optional<double> threshold, bool reject_nan,
               int threads, const py::object& progress, py::array values, py::array indices) {
    const MatrixView q = matrix_view(queries), x = matrix_view(corpus);
    const SearchOptions o = options(metric, n_cols, mask, exclude_self, threshold, reject_nan);
    void* value_data = values.mutable_data();
    auto* index_data = static_cast<std::int64_t*>(indices.mutable_data());
    const std::int64_t columns = indices.shape(1);
    run_released(threads, progress, [&](const Execution& execution) {
        search(q, x, columns, o, execution, value_data, index_data);
    });
}

py::tuple py_range_search(const TypedArray& queries, const TypedArray& corpus, std::int64_t n_cols,
                          const std::string& metric, const std::optional<py::array>& mask, bool exclude_self,
                          double threshold, bool reject_nan, int threads, const py::object& progress) {
    const MatrixView q = matrix_view(queries), x = matrix_view(corpus);
    const SearchOptions o = options(metric, n_cols, mask, exclude_self, threshold, reject_nan);
    const RangeHits hits = run_released(threads, progress, [&](const Execution& execution) {
        return range_search(q, x, o, execution);
    });
    return py::make_tuple(to_array<std::int64_t>(hits.offsets),
                          values_array(score_type(o.metric, q, x, n_cols), hits.values),
                          to_array<std::int64_t>(hits.indices));
}

void py_rescore(const TypedArray& queries, const TypedArray& corpus, std::int64_t n_cols, const std::string& metric,
                const py::array_t<std::int64_t, py::array::c_style>& candidates, bool reject_nan, int threads,
                py::array values, py::array indices) {
    const MatrixView q = matrix_view(queries), x = matrix_view(corpus);
    const SearchOptions o = options(metric, n_cols, std::nullopt, false, std::nullopt, reject_nan);
    void* value_data = values.mutable_data();
    auto* index_data = static_cast<std::int64_t*>(indices.mutable_data());
    const std::int64_t* candidate_data = candidates.data();
    const std::int64_t n_candidates = candidates.shape(1), columns = indices.shape(1);
    run_released(threads, py::none(), [&](const Execution& execution) {
        rescore(q, x, candidate_data, n_candidates, columns, o, execution, value_data, index_data);
    });
}

py::tuple py_certificate(const TypedArray& queries, const TypedArray& corpus, std::int64_t n_cols,
                         const std::string& metric) {
    const MatrixView q = matrix_view(queries), x = matrix_view(corpus);
    const std::vector<py::ssize_t> shape{q.n_rows, x.n_rows};
    py::array_t<float> upper(shape), own(shape), proven(shape);
    lay_open_certificate(q, x, n_cols, parse_metric(metric), upper.mutable_data(), own.mutable_data(),
                         proven.mutable_data());
    return py::make_tuple(upper, own, proven);
}

}  // namespace

void bind_search(py::module_& m) {
    m.def("search", &py_search, py::arg("queries"), py::arg("corpus"), py::arg("n_cols"), py::arg("metric"),
          py::arg("mask"), py::arg("exclude_self"), py::arg("threshold"), py::arg("reject_nan"), py::arg("threads"),
          py::arg("progress"), py::arg("values"), py::arg("indices"));
    m.def("range_search", &py_range_search, py::arg("queries"), py::arg("corpus"), py::arg("n_cols"), py::arg("metric"),
          py::arg("mask"), py::arg("exclude_self"), py::arg("threshold"), py::arg("reject_nan"), py::arg("threads"),
          py::arg("progress"));
    m.def("certificate", &py_certificate, py::arg("queries"), py::arg("corpus"), py::arg("n_cols"), py::arg("metric"));
    m.def("rescore", &py_rescore, py::arg("queries"), py::arg("corpus"), py::arg("n_cols"), py::arg("metric"),
          py::arg("candidates"), py::arg("reject_nan"), py::arg("threads"), py::arg("values"), py::arg("indices"));
}

}  // namespace embmath::bindings
