#include "engine/certificate.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "embmath/errors.hpp"
#include "engine/scorer.hpp"
#include "engine/tile_stage.hpp"

namespace embmath::engine {

void lay_open(const kernel::KernelTable& table, Metric metric, const RowReader& queries, const RowReader& corpus,
              const CertificateOut& out) {
    if (!TileStage::exists(metric, queries.dtype(), corpus.dtype(), static_cast<std::int64_t>(queries.n_cols()))) {
        throw ValueError("metric: has no certified stage for these inputs");
    }
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    constexpr float kKeepAll = -std::numeric_limits<float>::infinity();
    const auto n_queries = static_cast<int>(queries.n_rows());
    const auto n = static_cast<std::size_t>(corpus.n_rows());
    const Scorer scorer(table, metric, queries, 0, n_queries, corpus.dtype());
    const TileStage stage(table, metric, queries, 0, n_queries, scorer);
    Panel panel(table, corpus, metric, static_cast<int>(n));
    std::vector<std::uint32_t> ids(n);
    std::iota(ids.begin(), ids.end(), 0u);
    stage.fill(panel, ids, 0, {0, kNoLimit});

    const std::size_t ld = panel.mul.size();
    runtime::AlignedArray<float> scores(ld);
    std::vector<core::Key> keys(ld);
    std::vector<std::byte> scratch(corpus.scratch_bytes(1));
    for (int query = 0; query < n_queries; ++query) {
        const std::size_t first = static_cast<std::size_t>(query) * n;
        for (float* part : {out.upper, out.own, out.proven}) std::fill_n(part + first, n, kNan);
        stage.sums(panel, query, 1, scores.data(), ld);
        const std::size_t count = stage.select(panel, query, scores.data(), kKeepAll, nullptr, 0xffffffffu, keys.data());
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t row = core::key_row(keys[i]);
            const double score = scorer.score(query, corpus.row(static_cast<std::int64_t>(row), scratch.data()));
            out.upper[first + row] = core::key_score(keys[i]);
            out.own[first + row] = stage.threshold(query, score);
            out.proven[first + row] = stage.proven_threshold(query, out.upper[first + row], panel.max_add);
        }
    }
}

}  // namespace embmath::engine
