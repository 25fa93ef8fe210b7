#include "embmath/similarity.hpp"

#include "api/open_rows.hpp"
#include "api/validate.hpp"
#include "dispatch/registry.hpp"
#include "embmath/errors.hpp"
#include "engine/matrix.hpp"
#include "engine/rows.hpp"
#include "engine/scorer.hpp"

namespace embmath {

namespace {

constexpr api::Names kNames{"a", "b"};

engine::Orientation orientation(Metric metric, ScoreKind kind) {
    if (kind == ScoreKind::similarity) return engine::is_similarity(metric) ? engine::Orientation{} : engine::Orientation{-1.0, 0.0};
    return metric == Metric::cosine ? engine::Orientation{-1.0, 1.0} : engine::Orientation{};
}

template <class Score>
void score(const MatrixView& a, const MatrixView& b, std::int64_t n_cols, Metric metric, ScoreKind kind, const Score& run) {
    api::check_dtypes(metric, api::element_type(a), api::element_type(b), kNames);
    api::check_columns(a, b, n_cols, kNames);
    const engine::RowReader a_rows = api::open_rows(a, n_cols), b_rows = api::open_rows(b, n_cols);
    run(engine::MatrixSpec{dispatch::active(), metric, a_rows, b_rows, orientation(metric, kind)});
}

}  // namespace

ResultType score_type(Metric metric, const MatrixView& a, const MatrixView& b, std::int64_t n_cols) {
    const Dtype a_type = api::element_type(a), b_type = api::element_type(b);
    api::check_dtypes(metric, a_type, b_type, kNames);
    return engine::result_type(metric, a_type, b_type, n_cols);
}

void score_matrix(const MatrixView& a, const MatrixView& b, std::int64_t n_cols, Metric metric, ScoreKind kind,
                  const Execution& execution, void* out) {
    score(a, b, n_cols, metric, kind, [&](const engine::MatrixSpec& spec) { engine::score_matrix(spec, execution, out); });
}

void score_pairs(const MatrixView& a, const MatrixView& b, std::int64_t n_cols, Metric metric, ScoreKind kind,
                 const Execution& execution, void* out) {
    if (a.n_rows != b.n_rows) {
        throw ValueError("b: expected " + std::to_string(a.n_rows) + " rows like a, got " + std::to_string(b.n_rows));
    }
    score(a, b, n_cols, metric, kind, [&](const engine::MatrixSpec& spec) { engine::score_pairs(spec, execution, out); });
}

}  // namespace embmath
