// The shared memory of finish(): FinishShared, then the keys that are sorted.
#pragma once

#include "device/shortlist.cuh"

namespace embmath::cuda {

struct alignas(16) FinishShared {
    SettleScratch scratch;
    unsigned count;
};

// A power of two, at least k.
inline unsigned sort_size(std::int64_t k) {
    unsigned size = 2;
    while (size < k) size *= 2;
    return size;
}

inline std::size_t finish_bytes(std::int64_t k) { return sizeof(FinishShared) + sort_size(k) * sizeof(Key); }

}  // namespace embmath::cuda
