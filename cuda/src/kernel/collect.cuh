// What a filter does with the upper bounds that it computes: append, and settle when a list is full.
// kernel/hits.cuh has the same functions for searches that keep everything.
#pragma once

#include "device/shortlist.cuh"
#include "kernel/arguments.cuh"
#include "kernel/match_shared.cuh"
#include "kernel/shapes.cuh"

namespace embmath::cuda {

inline constexpr Key kNothing = ~Key{0};  // no key reaches it

// By one thread, before a block starts on a list that others may have filled before.
__device__ __forceinline__ Collected reopen(const Lists& lists, std::int64_t query, std::int64_t split) {
    const std::int64_t list = lists.list(query, split);
    return {lists.counts[list], lists.is_exact[query] != 0 ? kNothing : lists.least[list]};
}

__device__ __forceinline__ void close(const Lists& lists, std::int64_t query, std::int64_t split, const Collected& own) {
    const std::int64_t list = lists.list(query, split);
    lists.counts[list] = own.count;
    lists.least[list] = own.least;
}

__device__ __forceinline__ void append(const Lists& lists, std::int64_t query, std::int64_t split, Collected& own, Key key) {
    lists.keys_of(lists.list(query, split))[atomicAdd(&own.count, 1u)] = key;
}

// What other lists of the query have proven meanwhile. A row of an equal bound may still win its tie.
__device__ __forceinline__ Key proven(const Lists& lists, std::int64_t query) {
    const volatile std::uint32_t* threshold = lists.thresholds + query;
    return static_cast<Key>(*threshold) << 32;
}

// Makes room for `step` keys. Where the interval of the bounds holds more rows than the list, none of
// them can be dropped: the query gives up its list and is scored canonically.
template <class Group>
__device__ void make_room(const Lists& lists, std::int64_t query, std::int64_t split, unsigned step, Collected& own,
                          SettleScratch& scratch) {
    const unsigned count = own.count;
    Group::sync();  // before anyone appends
    if (count + step <= lists.capacity) return;
    const Settled settled = settle<Group>(lists.keys_of(lists.list(query, split)), count, lists.k, lists.gates[query].margin, scratch);
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

// The same of canonical scores, which leave nothing open: exactly k of them stay.
__device__ inline void make_room_for_scores(const Lists& lists, std::int64_t query, std::int64_t split, Collected& own, SettleScratch& scratch) {
    const unsigned count = own.count;
    if (count + kExactRows <= lists.capacity) return;
    const Settled settled = settle<BlockGroup>(lists.keys_of(lists.list(query, split)), count, lists.k, 0.0F, scratch);
    __syncthreads();
    if (threadIdx.x == 0) own = {settled.count, settled.least};
}

}  // namespace embmath::cuda
