// Canonical scores of every row, for the queries that no bound helps: small problems, ties, rows or
// queries without a bound. One block per (query, split); it leaves at once where it is not needed.
#pragma once

#include "device/score.cuh"
#include "device/shortlist.cuh"
#include "kernel/arguments.cuh"
#include "kernel/kinds.cuh"
#include "kernel/shapes.cuh"

namespace embmath::cuda {

struct ExactArgs {
    Rows queries, rows;
    const core::HalfMeasure* query_measures;
    Lists lists;
    Permission permission;
    Metric metric;
    Threshold threshold;
    unsigned long long* counter;  // rows that were scored; null: nobody asks
};

struct ExactShared {
    SettleScratch scratch;
    unsigned count;
    Key least;
};

template <class Kind>
__global__ void __launch_bounds__(kExactThreads, 3) search_exact(const ExactArgs args) {
    const std::int64_t query = blockIdx.x, split = blockIdx.y;
    if (args.lists.is_exact[query] == 0) return;
    const double sq_query = args.query_measures[query].sq_norm;
    if (sq_query != sq_query) return;  // a query that is not a number finds nothing
    auto& shared = *reinterpret_cast<ExactShared*>(shared_memory());
    const std::int64_t list = args.lists.list(query, split);
    Key* keys = args.lists.keys_of(list);
    if (threadIdx.x == 0) shared.count = 0, shared.least = 0;
    __syncthreads();
    const std::int64_t n = args.rows.n_rows;
    const std::int64_t first = n * split / args.lists.n_splits, last = n * (split + 1) / args.lists.n_splits;
    const auto* q = args.queries.row<typename Kind::Query>(query);
    for (std::int64_t begin = first; begin < last; begin += kExactRows) {
        const std::int64_t own = begin + threadIdx.x / kLanes * kRowsTogether;
        const typename Kind::Row::storage* x[kRowsTogether];
        EMBMATH_UNROLL
        for (int r = 0; r < kRowsTogether; ++r) x[r] = args.rows.row<typename Kind::Row>(own + r < last ? own + r : first);
        const double score = oriented(args.metric, canonical_score<Kind>(args.metric, q, sq_query, x, args.rows.n_cols));
        const int r = lane_of_row();
        if (r < kRowsTogether && own + r < last) {
            const auto row = static_cast<std::uint32_t>(own + r);
            const Key key = score_key<Kind>(args.metric, score, row);
            const bool is_hit = args.threshold.is_hit(score) && args.permission.allows(query, own + r);
            if (is_hit && key >= shared.least) keys[atomicAdd(&shared.count, 1u)] = key;
        }
        __syncthreads();
        const unsigned count = shared.count;
        if (count + kExactRows > args.lists.capacity) {
            const Settled settled = settle<BlockGroup>(keys, count, args.lists.k, 0.0F, shared.scratch);
            __syncthreads();
            if (threadIdx.x == 0) shared.count = settled.count, shared.least = settled.least;
        }
        __syncthreads();
    }
    if (threadIdx.x != 0) return;
    args.lists.counts[list] = shared.count;
    if (args.counter != nullptr) atomicAdd(args.counter, static_cast<unsigned long long>(last - first));
}

}  // namespace embmath::cuda
