#include "array_view.hpp"
#include "code_arguments.hpp"
#include "embmath/similarity.hpp"

namespace embmath::bindings {

namespace {

ScoreKind score_kind(bool is_distance) { return is_distance ? ScoreKind::distance : ScoreKind::similarity; }

using ScoreFunction = void (*)(const MatrixView&, const MatrixView&, std::int64_t, Metric, ScoreKind, const Execution&, void*);

template <ScoreFunction function>
void bind_scores(py::module_& m, const char* name) {
    m.def(name,
          [](const py::tuple& a, const py::tuple& b, std::int64_t n_cols, const std::string& metric, bool is_distance,
             int threads, py::array out) {
              const RowsArgument a_rows(a), b_rows(b);
              const MatrixView a_view = a_rows.view(), b_view = b_rows.view();
              const Metric id = parse_metric(metric);
              void* data = out.mutable_data();
              run_released(threads, py::none(), [&](const Execution& execution) {
                  function(a_view, b_view, n_cols, id, score_kind(is_distance), execution, data);
              });
          },
          py::arg("a"), py::arg("b"), py::arg("n_cols"), py::arg("metric"), py::arg("is_distance"), py::arg("threads"),
          py::arg("out"));
}

}  // namespace

void bind_similarity(py::module_& m) {
    m.def("score_dtype",
          [](const py::tuple& a, const py::tuple& b, std::int64_t n_cols, const std::string& metric) {
              const RowsArgument a_rows(a), b_rows(b);
              return result_dtype(score_type(parse_metric(metric), a_rows.view(), b_rows.view(), n_cols));
          },
          py::arg("a"), py::arg("b"), py::arg("n_cols"), py::arg("metric"));
    bind_scores<&score_matrix>(m, "score_matrix");
    bind_scores<&score_pairs>(m, "score_pairs");
}

}  // namespace embmath::bindings
