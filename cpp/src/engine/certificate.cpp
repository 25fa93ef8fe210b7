#include "engine/certificate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "embmath/errors.hpp"
#include "engine/block_encoder.hpp"
#include "engine/code_stage.hpp"
#include "engine/decoded_stage.hpp"
#include "engine/float_stage.hpp"
#include "engine/hits.hpp"
#include "engine/prefix_stage.hpp"
#include "engine/scorer.hpp"
#include "engine/search.hpp"

namespace embmath::engine {

namespace {

// What a kind of stage stands for.
struct CodeStageKind {
    CodeKind codes;
    int digits;
    bool is_long;  // all coordinates, as for rows that the first ones left
};

CodeStageKind rotated(StageKind kind) {
    const int i = static_cast<int>(kind) - static_cast<int>(StageKind::prefix);
    return {i < 4 ? CodeKind::prefix : CodeKind::int4, i % 2 + 1, i / 2 % 2 == 1};
}

// A stage with all rows packed for it: on the fly, or in the codes that an index would keep.
struct Subject {
    std::unique_ptr<Stage> stage;
    std::optional<PanelBuffer> buffer;
    std::unique_ptr<const CodeForms> forms;
    std::unique_ptr<const CodeBlocks> codes;
    Panel panel;
    bool is_long = false;
};

void encode_rotated(Subject& subject, const kernel::KernelTable& table, Metric metric, const RowReader& queries,
                    const RowReader& corpus, CodeStageKind kind, std::shared_ptr<const Basis> basis) {
    IndexOptions options{metric, corpus.dtype(), static_cast<std::int64_t>(corpus.n_cols()), {}, std::move(basis)};
    options.codes[static_cast<int>(kind.codes)] = true;
    subject.forms = std::make_unique<const CodeForms>(table, options);
    const CodeForms& forms = *subject.forms;
    auto codes = std::make_unique<CodeBlocks>(forms, static_cast<int>(corpus.n_rows()));
    BlockEncoder encoder(table, metric, forms, corpus);
    Extent extent;
    for (std::int64_t row = 0; row < corpus.n_rows(); row += BlockEncoder::kMostRows) {
        const auto n = static_cast<int>(std::min<std::int64_t>(BlockEncoder::kMostRows, corpus.n_rows() - row));
        extent.add(encoder.encode(row, n, *codes, static_cast<int>(row / kBlockRows)));
    }
    subject.panel = make_panel(forms, *codes, extent, kind.codes);
    subject.codes = std::move(codes);
    subject.is_long = kind.is_long;
    subject.stage = std::make_unique<PrefixStage>(table, metric, queries, 0, static_cast<int>(queries.n_rows()), kind.digits,
                                                  *forms.rotation(), *forms.plane(kind.codes), bound_scales());
}

Subject make_subject(const kernel::KernelTable& table, Metric metric, const RowReader& queries, const RowReader& corpus,
                     StageKind kind, std::shared_ptr<const Basis> basis, const Scorer& scorer) {
    const auto n_cols = static_cast<std::int64_t>(queries.n_cols());
    const auto count = static_cast<int>(queries.n_rows()), n = static_cast<int>(corpus.n_rows());
    Subject subject;
    if (kind >= StageKind::prefix && PrefixPlane::exists(metric, corpus.dtype(), n_cols)) {
        encode_rotated(subject, table, metric, queries, corpus, rotated(kind), std::move(basis));
        return subject;
    }
    if (kind == StageKind::float32 && FloatStage::exists(metric, queries.dtype(), corpus.dtype(), n_cols)) {
        subject.stage = std::make_unique<FloatStage>(table, metric, queries, 0, count, scorer, bound_scales());
    } else if ((kind == StageKind::int8 || kind == StageKind::int8_wide) &&
               CodeStage::exists(metric, queries.dtype(), corpus.dtype(), n_cols)) {
        subject.stage = std::make_unique<CodeStage>(table, metric, queries, 0, count, kind == StageKind::int8 ? 1 : 2, bound_scales());
    } else if ((kind == StageKind::decoded || kind == StageKind::decoded_wide) &&
               DecodedStage::exists(table, metric, corpus, n_cols)) {
        const int digits = kind == StageKind::decoded ? 1 : 2;
        subject.stage = std::make_unique<DecodedStage>(table, metric, queries, 0, count, digits, corpus, bound_scales());
    } else {
        throw ValueError("metric: has no such certified stage for these inputs");
    }
    std::vector<std::uint32_t> ids(static_cast<std::size_t>(n));
    std::iota(ids.begin(), ids.end(), 0u);
    subject.buffer.emplace(corpus, subject.stage->packer(corpus), n);
    subject.buffer->fill(ids.data(), n, 0, {0, kNoLimit});
    subject.panel = subject.buffer->view();
    return subject;
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
              StageKind kind, std::shared_ptr<const Basis> basis, std::int64_t rank, const CertificateOut& out) {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    const auto n_queries = static_cast<int>(queries.n_rows());
    const auto n = static_cast<std::size_t>(corpus.n_rows());
    const Scorer scorer(table, metric, queries, 0, n_queries, corpus.dtype());
    const Subject subject = make_subject(table, metric, queries, corpus, kind, std::move(basis), scorer);
    const Stage* stage = subject.stage.get();
    const Panel& panel = subject.panel;

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
        const int slot = query - group_first;
        std::size_t count = stage->select(panel, 0, panel.n_blocks(), slot, sums.data(), ld, gate, {}, keys.data());
        if (subject.is_long) count = stage->refine(panel, query, slot, sums.data(), ld, gate, keys.data(), count);
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t row = core::key_row(keys[i]);
            out.upper[first + row] = core::key_score(keys[i]);
            out.own[first + row] = stage->gate(query, scores[row], panel).threshold;
        }
    }
}

}  // namespace embmath::engine
