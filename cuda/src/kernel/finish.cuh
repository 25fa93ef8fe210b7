// From candidates to results: canonical scores of what is left, the k best of them, their values.
#pragma once

#include "device/score.cuh"
#include "device/shortlist.cuh"
#include "kernel/arguments.cuh"
#include "kernel/finish_shared.cuh"
#include "kernel/kinds.cuh"
#include "kernel/shapes.cuh"

namespace embmath::cuda {

struct RescoreArgs {
    Rows queries, rows;
    const core::HalfMeasure* query_measures;
    Lists lists;
    Metric metric;
    Threshold threshold;
    unsigned long long* counter;  // rows that were scored; null: nobody asks
};

// Keys of bounds become keys of canonical scores; 0 for what is no hit.
template <class Kind>
__global__ void __launch_bounds__(kRescoreThreads) rescore(const RescoreArgs args) {
    const std::int64_t query = blockIdx.x, list = args.lists.list(query, blockIdx.y);
    if (args.lists.is_exact[query] != 0) return;
    Key* keys = args.lists.keys_of(list);
    const unsigned count = args.lists.counts[list];
    const auto* q = args.queries.row<typename Kind::Query>(query);
    constexpr unsigned kTogether = kRescoreRows;
    unsigned long long n_scored = 0;
    for (unsigned first = 0; first < count; first += kTogether) {
        const unsigned i = first + threadIdx.x / kLanes;
        // A neighbour's key may be rewritten by now: lanes without a key of their own look at row 0.
        const Key key = i < count ? keys[i] : 0;
        const std::uint32_t row = i < count ? core::key_row(key) : 0;
        // Below the threshold that all lists together have proven: nothing to score, unless a neighbour has.
        const bool is_wanted = i < count && static_cast<std::uint32_t>(key >> 32) >= args.lists.thresholds[query];
        if (__ballot_sync(kAllLanes, is_wanted) == 0) {
            if (i < count && lane_of_row() == 0) keys[i] = 0;
            continue;
        }
        n_scored += is_wanted ? 1 : 0;
        const typename Kind::Row::storage* x[1] = {args.rows.row<typename Kind::Row>(row)};
        const double score = oriented(
            args.metric, canonical_score<Kind>(args.metric, q, args.query_measures[query].sq_norm, x, args.rows.n_cols));
        const bool is_hit = is_wanted && score == score && args.threshold.is_hit(score);
        if (i < count && lane_of_row() == 0) keys[i] = is_hit ? score_key<Kind>(args.metric, score, row) : 0;
    }
    if (args.counter != nullptr && lane_of_row() == 0 && n_scored != 0) atomicAdd(args.counter, n_scored);
}

struct FinishArgs {
    Lists lists;
    std::int64_t* indices;  // [query][k]
    std::uint32_t sort_size;  // a power of two, at least k
};

// Descending, by the whole block; `size` is a power of two.
__device__ inline void sort_keys(Key* keys, unsigned size) {
    for (unsigned run = 2; run <= size; run *= 2) {
        for (unsigned apart = run / 2; apart > 0; apart /= 2) {
            for (unsigned i = threadIdx.x; i < size / 2; i += blockDim.x) {
                const unsigned low = i / apart * 2 * apart + i % apart, high = low + apart;
                const bool is_descending = (low & run) == 0;
                const Key a = keys[low], b = keys[high];
                if ((a < b) == is_descending) keys[low] = b, keys[high] = a;
            }
            __syncthreads();
        }
    }
}

__global__ void __launch_bounds__(kFinishThreads) finish(const FinishArgs args) {
    auto& shared = *reinterpret_cast<FinishShared*>(shared_memory());
    auto* best = reinterpret_cast<Key*>(shared_memory() + sizeof(FinishShared));
    const std::int64_t query = blockIdx.x;
    const auto each_key = [&](const auto& visit) {
        for (std::int64_t split = 0; split < args.lists.n_splits; ++split) {
            const std::int64_t list = args.lists.list(query, split);
            const Key* keys = args.lists.keys_of(list);
            const unsigned count = args.lists.counts[list];
            for (unsigned i = threadIdx.x; i < count; i += blockDim.x) {
                if (keys[i] != 0) visit(keys[i]);
            }
        }
    };
    if (threadIdx.x == 0) shared.count = 0;
    __syncthreads();
    each_key([&](Key) { atomicAdd(&shared.count, 1u); });
    __syncthreads();
    const unsigned n_hits = shared.count;
    const Key least = n_hits > args.lists.k ? kth_largest<BlockGroup>(each_key, args.lists.k, shared.scratch) : 1;
    __syncthreads();
    if (threadIdx.x == 0) shared.count = 0;
    for (unsigned i = threadIdx.x; i < args.sort_size; i += blockDim.x) best[i] = 0;
    __syncthreads();
    each_key([&](Key key) {
        if (key >= least) best[atomicAdd(&shared.count, 1u)] = key;
    });
    __syncthreads();
    sort_keys(best, args.sort_size);
    for (unsigned i = threadIdx.x; i < args.lists.k; i += blockDim.x) {
        args.indices[query * args.lists.k + i] = best[i] != 0 ? static_cast<std::int64_t>(core::key_row(best[i])) : -1;
    }
}

struct ValuesArgs {
    Rows queries, rows;
    const core::HalfMeasure* query_measures;
    const std::int64_t* indices;  // [query][k]
    std::uint32_t* values;        // float32 or int32
    std::int64_t n_values;        // of all queries
    std::int64_t k;
    Metric metric;
};

// Keys do not tell the zeros apart; the score itself is the value, bit for bit.
template <class Kind>
__global__ void __launch_bounds__(kRescoreThreads) write_values(const ValuesArgs args) {
    const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * (kRescoreRows) + threadIdx.x / kLanes;
    const bool is_real = i < args.n_values;
    const std::int64_t query = is_real ? i / args.k : 0, row = is_real ? args.indices[i] : -1;
    const typename Kind::Row::storage* x[1] = {args.rows.row<typename Kind::Row>(row < 0 ? 0 : row)};
    const std::int64_t n_cols = args.rows.n_rows > 0 ? args.rows.n_cols : 0;
    const auto* q = args.queries.row<typename Kind::Query>(query);
    const double score = canonical_score<Kind>(args.metric, q, args.query_measures[query].sq_norm, x, n_cols);
    if (is_real && lane_of_row() == 0) args.values[i] = row < 0 ? missing_bits<Kind>(args.metric) : score_bits<Kind>(args.metric, score);
}

}  // namespace embmath::cuda
