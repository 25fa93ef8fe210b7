// Everything within a threshold, of all queries, as it comes: what collect.cuh does for lists.
#pragma once

#include "kernel/collect.cuh"

namespace embmath::cuda {

// Candidates, or hits, as query << 32 | row. More than fit are counted and not kept.
struct Hits {
    unsigned long long* pairs;
    unsigned long long* count;
    std::int64_t capacity;
    std::uint32_t first_query;      // what query 0 is called
    const float* least;             // [query]: upper bounds of hits reach it
    const std::uint32_t* is_exact;  // [query]
    std::int64_t n_splits;

    __device__ __forceinline__ std::int64_t n_kept() const {
        return *count < static_cast<unsigned long long>(capacity) ? static_cast<std::int64_t>(*count) : capacity;
    }
};

inline constexpr unsigned long long kNoHit = ~0ull;

__device__ __forceinline__ Collected reopen(const Hits& hits, std::int64_t query, std::int64_t) {
    const bool is_open = hits.is_exact[query] == 0;
    return {0, is_open ? static_cast<Key>(core::order_bits(hits.least[query])) << 32 : kNothing};
}

__device__ __forceinline__ void append(const Hits& hits, std::int64_t query, std::int64_t, Collected&, Key key) {
    const unsigned long long place = atomicAdd(hits.count, 1ull);
    if (place >= static_cast<unsigned long long>(hits.capacity)) return;
    hits.pairs[place] = static_cast<unsigned long long>(hits.first_query + static_cast<std::uint32_t>(query)) << 32 | core::key_row(key);
}

template <class Group>
__device__ __forceinline__ void make_room(const Hits&, std::int64_t, std::int64_t, unsigned, Collected&, SettleScratch&) {}
__device__ __forceinline__ void make_room_for_scores(const Hits&, std::int64_t, std::int64_t, Collected&, SettleScratch&) {}
__device__ __forceinline__ Key proven(const Hits&, std::int64_t) { return 0; }
__device__ __forceinline__ void close(const Hits&, std::int64_t, std::int64_t, const Collected&) {}

}  // namespace embmath::cuda
