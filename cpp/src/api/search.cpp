#include "embmath/search.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "api/open_rows.hpp"
#include "api/search_call.hpp"
#include "dispatch/registry.hpp"
#include "embmath/errors.hpp"
#include "engine/certificate.hpp"
#include "runtime/parallel.hpp"

namespace embmath {

using engine::Hit;

void search(const MatrixView& queries, const MatrixView& corpus, std::int64_t columns, const SearchOptions& options,
            const Execution& execution, void* values, std::int64_t* indices) {
    api::SearchCall(queries, corpus, options, execution).run_top(columns, execution, values, indices);
}

RangeHits range_search(const MatrixView& queries, const MatrixView& corpus, const SearchOptions& options,
                       const Execution& execution) {
    return api::SearchCall(queries, corpus, options, execution).run_range(execution);
}

void rescore(const MatrixView& queries, const MatrixView& corpus, const std::int64_t* candidates,
             std::int64_t n_candidates, std::int64_t columns, const SearchOptions& options, const Execution& execution,
             void* values, std::int64_t* indices) {
    const api::SearchCall call(queries, corpus, options, execution);
    const api::TopKWriter writer(call, columns, values, indices);
    const std::int64_t n_all = queries.n_rows * n_candidates;
    for (std::int64_t i = 0; i < n_all; ++i) {
        if (candidates[i] >= -1 && candidates[i] < corpus.n_rows) continue;
        throw ValueError("candidates: must be rows of the corpus, below " + std::to_string(corpus.n_rows) +
                         ", or -1 for none, got " + std::to_string(candidates[i]));
    }
    const double work = static_cast<double>(n_all) * static_cast<double>(options.n_cols);
    runtime::for_each_task(execution, runtime::worker_count(execution, work), queries.n_rows,
                           [&](runtime::Worker&, std::int64_t query) {
        const engine::Scorer scorer = call.scorer(query);
        std::vector<std::int64_t> rows(candidates + query * n_candidates, candidates + (query + 1) * n_candidates);
        std::sort(rows.begin(), rows.end());
        rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
        std::vector<std::byte> scratch(call.corpus().scratch_bytes(1));
        std::vector<Hit> hits, nan_hits;
        for (const std::int64_t row : rows) {
            if (row < 0) continue;
            const double score = scorer.score(0, call.corpus().row(row, scratch.data()));
            if (call.has_threshold() && !(score >= call.floor())) continue;
            (std::isnan(score) ? nan_hits : hits).push_back({score, row});
        }
        std::sort(hits.begin(), hits.end(), engine::is_better);
        hits.insert(hits.end(), nan_hits.begin(), nan_hits.end());
        writer.write(query, hits);
    });
}

void lay_open_certificate(const MatrixView& queries, const MatrixView& corpus, std::int64_t n_cols, Metric metric,
                          StageKind stage, std::int64_t rank, std::shared_ptr<const Basis> basis, float* upper, float* own) {
    const engine::RowReader query_rows = api::open_rows(queries, n_cols), corpus_rows = api::open_rows(corpus, n_cols);
    api::check_dtypes(metric, query_rows.dtype(), corpus_rows.dtype(), api::kSearchNames);
    api::check_columns(queries, corpus, n_cols, api::kSearchNames);
    engine::lay_open(dispatch::active(), metric, query_rows, corpus_rows, stage, std::move(basis), rank, {upper, own});
}

void scale_bounds(double rounding, double residual, double query) {
    engine::set_bound_scales({rounding, residual, query});
}

}  // namespace embmath
