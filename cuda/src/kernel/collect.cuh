// What a filter does with the upper bounds that it computes: append, and settle when a list is full.
#pragma once

#include "device/shortlist.cuh"
#include "kernel/arguments.cuh"
#include "kernel/match_shared.cuh"
#include "kernel/shapes.cuh"

namespace embmath::cuda {

inline constexpr Key kNothing = ~Key{0};  // no key reaches it

// By one thread, before a block starts on a list that others may have filled before.
__device__ __forceinline__ Collected reopen(const Lists& lists, std::int64_t query, std::int64_t list) {
    return {lists.counts[list], lists.is_exact[query] != 0 ? kNothing : lists.least[list]};
}

__device__ __forceinline__ void close(const Lists& lists, std::int64_t list, const Collected& own) {
    lists.counts[list] = own.count;
    lists.least[list] = own.least;
}

// What other lists of the query have proven meanwhile. A row of an equal bound may still win its tie.
__device__ __forceinline__ Key proven(const Lists& lists, std::int64_t query) {
    const volatile std::uint32_t* threshold = lists.thresholds + query;
    return static_cast<Key>(*threshold) << 32;
}

// Makes room for `step` keys. Where the interval of the bounds holds more rows than the list, none of
// them can be dropped: the query gives up its list and is scored canonically.
template <class Group>
__device__ void make_room(const Lists& lists, std::int64_t query, std::int64_t list, unsigned step, Collected& own,
                          SettleScratch& scratch) {
    const unsigned count = own.count;
    Group::sync();  // before anyone appends
    if (count + step <= lists.capacity) return;
    const Settled settled = settle<Group>(lists.keys_of(list), count, lists.k, lists.gates[query].margin, scratch);
    Group::sync();
    if (Group::rank() == 0) {
        if (settled.count + step > lists.capacity) {
            lists.is_exact[query] = 1;
            own = {0, kNothing};
        } else {
            own = {settled.count, settled.least > own.least ? settled.least : own.least};
            atomicMax(lists.thresholds + query, static_cast<std::uint32_t>(own.least >> 32));
        }
    }
    Group::sync();
}

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
