// How lanes share the rows that become codes.
#pragma once

#include "device/target.cuh"

namespace embmath::cuda {

inline constexpr int kWalkThreads = 256;

// A lane takes two pieces at a time: neighbours of its neighbours', or, where halves of a row share bytes,
// one of each half.
struct Walk {
    int n_cols, lanes;  // of a row
    int end;            // of the first pieces
    int apart;          // columns from a first piece to its second
    int stride;         // from a lane's first piece to its next
    int count;          // columns of a piece

    __device__ __forceinline__ int lane() const { return static_cast<int>(threadIdx.x) % lanes; }
    __device__ __forceinline__ int rows_per_block() const { return kWalkThreads / lanes; }
    __device__ __forceinline__ int row_in_block() const { return static_cast<int>(threadIdx.x) / lanes; }
    __device__ __forceinline__ int column(int pair) const { return pair * stride + lane() * count; }
};

}  // namespace embmath::cuda
