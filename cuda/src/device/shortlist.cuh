// The best rows of a query so far: keys (core/order_key.hpp) in a list of fixed capacity, each one of
// them different, so that the result does not depend on the order in which they are appended.
//
// A full list is settled: the k-th best key is found by its digits, what lies more than a margin below
// it is dropped, and what is left is closed up. The threshold that this proves holds for every list
// of the query and is shared.
#pragma once

#include "core/order_key.hpp"
#include "device/target.cuh"

namespace embmath::cuda {

using core::Key;

inline constexpr int kDigits = 256;
inline constexpr unsigned kWarpLanes = 32;

// Threads that settle a list together.
struct BlockGroup {
    static __device__ __forceinline__ unsigned rank() { return threadIdx.x; }
    static __device__ __forceinline__ unsigned size() { return blockDim.x; }
    static __device__ __forceinline__ void sync() { __syncthreads(); }
};
struct WarpGroup {
    static __device__ __forceinline__ unsigned rank() { return threadIdx.x % kWarpLanes; }
    static __device__ __forceinline__ unsigned size() { return kWarpLanes; }
    static __device__ __forceinline__ void sync() { __syncwarp(); }
};

// Shared memory of a group.
struct SettleScratch {
    unsigned counts[kDigits];
    unsigned digit, wanted, is_exact;
};

// Of a bound. A zero of either sign is the same.
__device__ __forceinline__ Key key_of(float bound, std::uint32_t row) {
    return core::make_key(bound == 0.0F ? 0.0F : bound, row);
}

// Of the digits' counts: where the `wanted`-th key from above lies. By the first warp of the group.
template <class Group>
__device__ void find_digit(SettleScratch& scratch, unsigned wanted) {
    constexpr unsigned kEach = kDigits / kWarpLanes;
    if (Group::rank() >= kWarpLanes) return;
    const unsigned lane = Group::rank(), top = kDigits - 1 - kEach * lane;
    unsigned own = 0;
    for (unsigned i = 0; i < kEach; ++i) own += scratch.counts[top - i];
    unsigned above = own;
    for (unsigned apart = 1; apart < kWarpLanes; apart *= 2) {
        const unsigned other = __shfl_up_sync(0xffffffffu, above, apart);
        if (lane >= apart) above += other;
    }
    above -= own;
    if (above >= wanted || above + own < wanted) return;
    for (unsigned i = 0; i < kEach; ++i) {
        const unsigned count = scratch.counts[top - i];
        if (above + count >= wanted) {
            scratch.digit = top - i;
            scratch.wanted = wanted - above;
            scratch.is_exact = above + count == wanted;
            return;
        }
        above += count;
    }
}

// A key that exactly `wanted` of the keys which `each_key` visits reach; there are at least that many.
// `each_key(visit)`: every thread of the group visits its part of them.
template <class Group, class EachKey>
__device__ Key kth_largest(const EachKey& each_key, unsigned wanted, SettleScratch& scratch) {
    Key prefix = 0, known = 0;
    for (int shift = 56;; shift -= 8) {
        for (unsigned i = Group::rank(); i < kDigits; i += Group::size()) scratch.counts[i] = 0;
        Group::sync();
        each_key([&](Key key) {
            if ((key & known) == prefix) atomicAdd(&scratch.counts[key >> shift & 0xff], 1u);
        });
        Group::sync();
        find_digit<Group>(scratch, wanted);
        Group::sync();
        prefix |= static_cast<Key>(scratch.digit) << shift;
        known |= static_cast<Key>(0xff) << shift;
        wanted = scratch.wanted;
        const bool is_done = scratch.is_exact != 0 || shift == 0;
        Group::sync();
        if (is_done) return prefix;
    }
}

// Closes up the keys that reach `least`, in place; returns how many. Every step reads its keys before
// it writes, and writes no further than it has read.
template <class Group>
__device__ unsigned keep_reaching(Key* keys, unsigned count, Key least, SettleScratch& scratch) {
    unsigned kept = 0;
    for (unsigned first = 0; first < count; first += Group::size()) {
        const unsigned i = first + Group::rank();
        const Key key = i < count ? keys[i] : 0;
        const bool is_kept = i < count && key >= least;
        const unsigned votes = __ballot_sync(0xffffffffu, is_kept);
        const unsigned warp = Group::rank() / kWarpLanes, n_warps = Group::size() / kWarpLanes;
        if (Group::rank() % kWarpLanes == 0) scratch.counts[warp] = static_cast<unsigned>(__popc(votes));
        Group::sync();
        unsigned before = kept;
        for (unsigned w = 0; w < n_warps; ++w) {
            if (w < warp) before += scratch.counts[w];
            kept += scratch.counts[w];
        }
        const unsigned below = (1u << Group::rank() % kWarpLanes) - 1u;
        if (is_kept) keys[before + static_cast<unsigned>(__popc(votes & below))] = key;
        Group::sync();
    }
    return kept;
}

// The smallest key of a row that may be less than `margin` worse than that of `kth`.
__device__ __forceinline__ Key least_key(Key kth, float margin) {
    if (margin == 0.0F) return kth;
    const float score = core::key_score(kth);
    // Rounded down: the difference in float64 is exact enough, and a float32 loses 2^-24 of it.
    const double least = static_cast<double>(score) - static_cast<double>(margin);
    const double lower = least - (least < 0.0 ? -least : least) * 0x1p-23 - 0x1p-149;
    if (!(lower >= -0x1.fffffep127)) return 0;  // also of a margin that is not a number
    return static_cast<Key>(core::order_bits(static_cast<float>(lower))) << 32;
}

struct Settled {
    unsigned count;
    Key least;  // keys below it need not be appended
};

// Drops what cannot be among the k best. A list of k or fewer keys stays as it is.
template <class Group>
__device__ Settled settle(Key* keys, unsigned count, unsigned k, float margin, SettleScratch& scratch) {
    if (count <= k) return {count, 0};
    const auto each_key = [&](const auto& visit) {
        for (unsigned i = Group::rank(); i < count; i += Group::size()) visit(keys[i]);
    };
    const Key least = least_key(kth_largest<Group>(each_key, k, scratch), margin);
    return {keep_reaching<Group>(keys, count, least, scratch), least};
}

}  // namespace embmath::cuda
