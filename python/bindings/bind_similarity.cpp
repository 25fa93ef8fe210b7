#include "array_view.hpp"
#include "embmath/similarity.hpp"

namespace embmath::bindings {

namespace {

ScoreKind score_kind(bool is_distance) { return is_distance ? ScoreKind::distance : ScoreKind::similarity; }

using ScoreFunction = void (*)(const MatrixView&, const MatrixView&, std::int64_t, Metric, ScoreKind, const Execution&, void*);

template <ScoreFunction function>
void bind_scores(py::module_& m, const char* name) {
    m.def(name,
          [](const TypedArray& a, const TypedArray& b, std::int64_t n_cols, const std::string& metric, bool is_distance,
             int threads, py::array out) {
              const MatrixView a_view = matrix_view(a), b_view = matrix_view(b);
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
          [](const TypedArray& a, const TypedArray& b, std::int64_t n_cols, const std::string& metric) {
              return result_dtype(score_type(parse_metric(metric), matrix_view(a), matrix_view(b), n_cols));
          },
          py::arg("a"), py::arg("b"), py::arg("n_cols"), py::arg("metric"));
    bind_scores<&score_matrix>(m, "score_matrix");
    bind_scores<&score_pairs>(m, "score_pairs");
}

}  // namespace embmath::bindings
