#include "array_view.hpp"
#include "code_arguments.hpp"
#include "embmath/search.hpp"
#include "embmath/similarity.hpp"
#include "search_arguments.hpp"

namespace embmath::bindings {

namespace {

SearchOptions options(const std::string& metric, std::int64_t n_cols, SearchOptions others) {
    others.metric = parse_metric(metric);
    others.n_cols = n_cols;
    return others;
}

py::dict py_search(const py::tuple& queries, const py::tuple& corpus, std::int64_t n_cols, const std::string& metric,
                   const std::optional<py::array>& mask, bool exclude_self, std::optional<double> threshold, bool reject_nan, int threads, const py::object& progress, bool wants_stats,
                   py::array values, py::array indices, const std::optional<py::array>& own_rows) {
    const RowsArgument query_rows(queries), corpus_rows(corpus);
    const MatrixView q = query_rows.view(), x = corpus_rows.view();
    SearchOptions o = options(metric, n_cols, search_options(mask, exclude_self, threshold, reject_nan));
    if (own_rows) o.own_rows = static_cast<const std::int64_t*>(own_rows->data());
    void* value_data = values.mutable_data();
    auto* index_data = static_cast<std::int64_t*>(indices.mutable_data());
    const std::int64_t columns = indices.shape(1);
    SearchStats stats;
    if (wants_stats) o.stats = &stats;
    run_released(threads, progress, [&](const Execution& execution) {
        search(q, x, columns, o, execution, value_data, index_data);
    });
    return wants_stats ? as_dict(stats) : py::dict();
}

py::tuple py_range_search(const py::tuple& queries, const py::tuple& corpus, std::int64_t n_cols,
                          const std::string& metric, const std::optional<py::array>& mask, bool exclude_self,
                          double threshold, bool reject_nan, int threads, const py::object& progress) {
    const RowsArgument query_rows(queries), corpus_rows(corpus);
    const MatrixView q = query_rows.view(), x = corpus_rows.view();
    const SearchOptions o = options(metric, n_cols, search_options(mask, exclude_self, threshold, reject_nan));
    const RangeHits hits = run_released(threads, progress, [&](const Execution& execution) {
        return range_search(q, x, o, execution);
    });
    return range_tuple(hits, score_type(o.metric, q, x, n_cols));
}

void py_rescore(const py::tuple& queries, const py::tuple& corpus, std::int64_t n_cols, const std::string& metric,
                const py::array_t<std::int64_t, py::array::c_style>& candidates, std::optional<double> threshold, bool reject_nan, int threads,
                py::array values, py::array indices) {
    const RowsArgument query_rows(queries), corpus_rows(corpus);
    const MatrixView q = query_rows.view(), x = corpus_rows.view();
    const SearchOptions o = options(metric, n_cols, search_options(std::nullopt, false, threshold, reject_nan));
    void* value_data = values.mutable_data();
    auto* index_data = static_cast<std::int64_t*>(indices.mutable_data());
    const std::int64_t* candidate_data = candidates.data();
    const std::int64_t n_candidates = candidates.shape(1), columns = indices.shape(1);
    run_released(threads, py::none(), [&](const Execution& execution) {
        rescore(q, x, candidate_data, n_candidates, columns, o, execution, value_data, index_data);
    });
}

py::tuple py_certificate(const TypedArray& queries, const py::tuple& corpus, std::int64_t n_cols,
                         const std::string& metric, const std::string& stage, std::int64_t rank,
                         const std::optional<BasisArrays>& basis) {
    const RowsArgument corpus_rows(corpus);
    const MatrixView q = matrix_view(queries), x = corpus_rows.view();
    const std::vector<py::ssize_t> shape{q.n_rows, x.n_rows};
    py::array_t<float> upper(shape), own(shape);
    lay_open_certificate(q, x, n_cols, parse_metric(metric), parse_stage(stage), rank, as_basis(basis),
                         upper.mutable_data(), own.mutable_data());
    return py::make_tuple(upper, own);
}

}  // namespace

void bind_search(py::module_& m) {
    m.def("search", &py_search, py::arg("queries"), py::arg("corpus"), py::arg("n_cols"), py::arg("metric"),
          py::arg("mask"), py::arg("exclude_self"), py::arg("threshold"), py::arg("reject_nan"),
          py::arg("threads"), py::arg("progress"), py::arg("stats"), py::arg("values"), py::arg("indices"), py::arg("own_rows") = py::none());
    m.def("range_search", &py_range_search, py::arg("queries"), py::arg("corpus"), py::arg("n_cols"), py::arg("metric"),
          py::arg("mask"), py::arg("exclude_self"), py::arg("threshold"), py::arg("reject_nan"), py::arg("threads"),
          py::arg("progress"));
    m.def("certificate", &py_certificate, py::arg("queries"), py::arg("corpus"), py::arg("n_cols"), py::arg("metric"),
          py::arg("stage"), py::arg("rank"), py::arg("basis") = py::none());
    m.def("scale_bounds", &scale_bounds, py::arg("rounding"), py::arg("residual"), py::arg("query"));
    m.def("rescore", &py_rescore, py::arg("queries"), py::arg("corpus"), py::arg("n_cols"), py::arg("metric"),
          py::arg("candidates"), py::arg("threshold"), py::arg("reject_nan"), py::arg("threads"), py::arg("values"), py::arg("indices"));
}

}  // namespace embmath::bindings
