// From candidates to hits: the bounds that candidates must reach, and their canonical scores.
#pragma once

#include "device/score.cuh"
#include "kernel/hits.cuh"
#include "kernel/kinds.cuh"

namespace embmath::cuda {

struct LeastArgs {
    const core::HalfMeasure* queries;
    const core::HalfRange* range;
    float* least;
    std::int64_t n_queries;
    Metric metric;
    double threshold;
};

// What upper bounds of hits reach.
__global__ void find_least(const LeastArgs args) {
    const std::int64_t query = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (query < args.n_queries) args.least[query] = core::half_least(args.metric, args.queries[query], *args.range, args.threshold);
}

struct ScoreHitsArgs {
    Rows queries, rows;  // queries of the batch
    const core::HalfMeasure* query_measures;
    Hits hits;
    std::uint32_t* values;  // float32 or int32
    Metric metric;
    Threshold threshold;
    bool has_scanned;       // queries without bounds, after they have found their hits among all rows
};

// Canonical scores of the batch's candidates; those that are no hits after all become kNoHit, and those
// of queries that have lost their bounds meanwhile: they will be found again.
template <class Kind>
__global__ void __launch_bounds__(kRescoreThreads) score_hits(const ScoreHitsArgs args) {
    const std::int64_t n = args.hits.n_kept(), step = static_cast<std::int64_t>(gridDim.x) * kRescoreRows;
    for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kRescoreRows; first < n; first += step) {
        const std::int64_t i = first + threadIdx.x / kLanes;
        const unsigned long long pair = i < n ? args.hits.pairs[i] : kNoHit;
        const std::int64_t query = static_cast<std::int64_t>(pair >> 32) - args.hits.first_query;
        const bool is_known = pair != kNoHit && query >= 0 && query < args.queries.n_rows;  // of this batch
        const bool is_scanned = is_known && args.hits.is_exact[query] != 0, is_own = is_known && is_scanned == args.has_scanned;
        if (is_scanned && !args.has_scanned && lane_of_row() == 0) args.hits.pairs[i] = kNoHit;
        if (__ballot_sync(kAllLanes, is_own) == 0) continue;
        const std::int64_t row = is_own ? static_cast<std::int64_t>(pair & 0xffffffffu) : 0, asking = is_own ? query : 0;
        const typename Kind::Row::storage* x[1] = {args.rows.row<typename Kind::Row>(row)};
        const auto* q = args.queries.row<typename Kind::Query>(asking);
        const double score = canonical_score<Kind>(args.metric, q, args.query_measures[asking].sq_norm, x, args.rows.n_cols);
        if (!is_own || lane_of_row() != 0) continue;
        args.values[i] = score_bits<Kind>(args.metric, score);
        if (!args.threshold.is_hit(oriented(args.metric, score))) args.hits.pairs[i] = kNoHit;
    }
}

}  // namespace embmath::cuda
