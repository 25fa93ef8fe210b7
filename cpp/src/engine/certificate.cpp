#include "engine/certificate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "embmath/errors.hpp"
#include "engine/code_stage.hpp"
#include "engine/float_stage.hpp"
#include "engine/hits.hpp"
#include "engine/scorer.hpp"
#include "engine/search.hpp"

namespace embmath::engine {

namespace {

std::unique_ptr<Stage> make_stage(const kernel::KernelTable& table, Metric metric, const RowReader& queries,
                                  const RowReader& corpus, StageKind kind, const Scorer& scorer) {
    const auto n_cols = static_cast<std::int64_t>(queries.n_cols());
    const auto count = static_cast<int>(queries.n_rows());
    if (kind == StageKind::float32 && FloatStage::exists(metric, queries.dtype(), corpus.dtype(), n_cols)) {
        return std::make_unique<FloatStage>(table, metric, queries, 0, count, scorer, bound_scales());
    }
    if (kind != StageKind::float32 && CodeStage::exists(metric, queries.dtype(), corpus.dtype(), n_cols)) {
        return std::make_unique<CodeStage>(table, metric, queries, 0, count, kind == StageKind::int8 ? 1 : 2, bound_scales());
    }
    throw ValueError("metric: has no such certified stage for these inputs");
}

double score_of_rank(const std::vector<double>& scores, std::int64_t rank) {
    std::vector<double> sorted;
    std::copy_if(scores.begin(), scores.end(), std::back_inserter(sorted), [](double s) { return !std::isnan(s); });
    if (rank < 0 || rank >= static_cast<std::int64_t>(sorted.size())) return -core::kInfinity;
    std::nth_element(sorted.begin(), sorted.begin() + rank, sorted.end(), std::greater<>());
    return sorted[static_cast<std::size_t>(rank)];
}

}  // namespace

void lay_open(const kernel::KernelTable& table, Metric metric, const RowReader& queries, const RowReader& corpus,
              StageKind kind, std::int64_t rank, const CertificateOut& out) {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    const auto n_queries = static_cast<int>(queries.n_rows());
    const auto n = static_cast<std::size_t>(corpus.n_rows());
    const Scorer scorer(table, metric, queries, 0, n_queries, corpus.dtype());
    const std::unique_ptr<Stage> stage = make_stage(table, metric, queries, corpus, kind, scorer);
    PanelBuffer buffer(corpus, stage->packer(corpus), static_cast<int>(n));
    std::vector<std::uint32_t> ids(n);
    std::iota(ids.begin(), ids.end(), 0u);
    buffer.fill(ids.data(), static_cast<int>(n), 0, {0, kNoLimit});
    const Panel panel = buffer.view();

    const std::size_t ld = static_cast<std::size_t>(panel.n_blocks()) * kBlockRows;
    runtime::AlignedArray<std::uint32_t> sums(static_cast<std::size_t>(stage->lanes()) * ld);
    std::vector<core::Key> keys(ld);
    std::vector<std::byte> scratch(corpus.scratch_bytes(1));
    std::vector<double> scores(n);
    for (int query = 0; query < n_queries; ++query) {
        const std::size_t first = static_cast<std::size_t>(query) * n;
        for (float* part : {out.upper, out.own}) std::fill_n(part + first, n, kNan);
        for (std::size_t row = 0; row < n; ++row) {
            scores[row] = scorer.score(query, corpus.row(static_cast<std::int64_t>(row), scratch.data()));
        }
        core::Gate gate = stage->gate(query, score_of_rank(scores, rank), panel);
        gate.threshold = -std::numeric_limits<float>::infinity();
        const int group_first = query / stage->group() * stage->group();
        stage->sums(panel, group_first, std::min(stage->group(), n_queries - group_first), false, sums.data(), ld);
        const std::size_t count = stage->select(panel, 0, panel.n_blocks(), query - group_first, sums.data(), ld, gate, {}, keys.data());
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t row = core::key_row(keys[i]);
            out.upper[first + row] = core::key_score(keys[i]);
            out.own[first + row] = stage->gate(query, scores[row], panel).threshold;
        }
    }
}

}  // namespace embmath::engine
