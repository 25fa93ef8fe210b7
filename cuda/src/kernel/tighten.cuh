// What the lists of a query prove together.
#pragma once

#include "kernel/collect.cuh"
#include "kernel/shapes.cuh"

namespace embmath::cuda {

struct TightenArgs {
    Lists lists;
    const core::HalfRange* range;  // null: rows are still to come
};

// The threshold that all lists of a query prove together.
__global__ void __launch_bounds__(kTightenThreads) tighten(const TightenArgs args) {
    struct Shared {
        SettleScratch scratch;
        unsigned count;
    };
    auto& shared = *reinterpret_cast<Shared*>(shared_memory());
    const std::int64_t query = blockIdx.x;
    if (args.lists.is_exact[query] != 0) return;
    const auto each_key = [&](const auto& visit) {
        for (std::int64_t split = 0; split < args.lists.n_splits; ++split) {
            const std::int64_t list = args.lists.list(query, split);
            const unsigned count = args.lists.counts[list];
            for (unsigned i = threadIdx.x; i < count; i += blockDim.x) visit(args.lists.keys_of(list)[i]);
        }
    };
    if (threadIdx.x == 0) {
        shared.count = 0;
        for (std::int64_t split = 0; split < args.lists.n_splits; ++split) shared.count += args.lists.counts[args.lists.list(query, split)];
    }
    __syncthreads();
    const unsigned count = shared.count;
    // Nothing else may be left than rows that were excluded.
    if (threadIdx.x == 0 && args.range != nullptr && args.range->has_excluded != 0 && count < args.lists.k) args.lists.is_exact[query] = 1;
    if (count <= args.lists.k) return;
    const Key least = least_key(kth_largest<BlockGroup>(each_key, args.lists.k, shared.scratch), args.lists.gates[query].margin);
    if (threadIdx.x == 0) atomicMax(args.lists.thresholds + query, static_cast<std::uint32_t>(least >> 32));
}

}  // namespace embmath::cuda
