// The shared memory of match(), whose size decides what fits a device.
#pragma once

#include "core/half_bounds.hpp"
#include "device/shortlist.cuh"
#include "kernel/shapes.cuh"

namespace embmath::cuda {

// A query's list while a block works on it; in shared memory.
struct Collected {
    unsigned count;
    Key least;
};

inline constexpr int kStages = 3;
inline constexpr int kChunks = kLineBytes / kChunkBytes;

// What of a line is held at a time.
using LineBytes = unsigned char[kLineBytes];

template <class Shape>
struct alignas(128) MatchShared {
    LineBytes queries[kStages][Shape::kQueries];
    LineBytes rows[kStages][Shape::kRows];
    SettleScratch scratch[kMatchWarps];
    Collected own[Shape::kQueries];
    core::HalfGate gates[Shape::kQueries];
    core::HalfRow terms[Shape::kRows];
    float least[Shape::kQueries];  // no smaller bound need be looked at

    // A tile's products, once its codes have been multiplied.
    __device__ float* spill() { return reinterpret_cast<float*>(queries); }
};

}  // namespace embmath::cuda
