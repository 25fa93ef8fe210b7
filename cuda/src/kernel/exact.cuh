// Canonical scores of every row, for the queries that no bound helps: small problems, ties, rows or
// queries without a bound. One block per (query, split); it leaves at once where it is not needed.
#pragma once

#include "device/score.cuh"
#include "kernel/hits.cuh"
#include "kernel/kinds.cuh"

namespace embmath::cuda {

template <class Sink>
struct ExactArgs {
    Rows queries, rows;
    const core::HalfMeasure* query_measures;
    Sink sink;  // Lists, or Hits
    Permission permission;
    Metric metric;
    Threshold threshold;
    unsigned long long* counter;  // rows that were scored; null: nobody asks
};

struct ExactShared {
    SettleScratch scratch;
    Collected own;
};

template <class Kind, class Sink>
__global__ void __launch_bounds__(kExactThreads, 3) search_exact(const ExactArgs<Sink> args) {
    const std::int64_t query = blockIdx.x, split = blockIdx.y;
    if (args.sink.is_exact[query] == 0) return;
    const double sq_query = args.query_measures[query].sq_norm;
    if (sq_query != sq_query) return;  // a query that is not a number finds nothing
    auto& shared = *reinterpret_cast<ExactShared*>(shared_memory());
    if (threadIdx.x == 0) shared.own = {0, 0};
    __syncthreads();
    const std::int64_t n = args.rows.n_rows;
    const std::int64_t first = n * split / args.sink.n_splits, last = n * (split + 1) / args.sink.n_splits;
    const auto* q = args.queries.template row<typename Kind::Query>(query);
    for (std::int64_t begin = first; begin < last; begin += kExactRows) {
        const std::int64_t own = begin + threadIdx.x / kLanes * kRowsTogether;
        const typename Kind::Row::storage* x[kRowsTogether];
        EMBMATH_UNROLL
        for (int r = 0; r < kRowsTogether; ++r) x[r] = args.rows.template row<typename Kind::Row>(own + r < last ? own + r : first);
        const double score = oriented(args.metric, canonical_score<Kind>(args.metric, q, sq_query, x, args.rows.n_cols));
        const int r = lane_of_row();
        if (r < kRowsTogether && own + r < last) {
            const Key key = score_key<Kind>(args.metric, score, static_cast<std::uint32_t>(own + r));
            const bool is_hit = args.threshold.is_hit(score) && args.permission.allows(query, own + r);
            if (is_hit && key >= shared.own.least) append(args.sink, query, split, shared.own, key);
        }
        __syncthreads();
        make_room_for_scores(args.sink, query, split, shared.own, shared.scratch);
        __syncthreads();
    }
    if (threadIdx.x != 0) return;
    close(args.sink, query, split, shared.own);
    if (args.counter != nullptr) atomicAdd(args.counter, static_cast<unsigned long long>(last - first));
}

}  // namespace embmath::cuda
