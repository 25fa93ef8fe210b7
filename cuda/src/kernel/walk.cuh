// How lanes share the rows that become codes.
#pragma once

#include "device/pieces.cuh"

namespace embmath::cuda {

inline constexpr int kWalkThreads = 256;

// A lane takes two pieces at a time: neighbours of its neighbours', or, where halves of a row share bytes,
// one of each half.
struct Walk {
    int n_cols;
    int log_lanes;  // of a row
    int end;        // of the first pieces
    int apart;      // columns from a first piece to its second
    int stride;     // from a lane's first piece to its next
    int count;      // columns of a piece

    __host__ __device__ int lanes() const { return 1 << log_lanes; }
    __host__ __device__ int rows_per_block() const { return kWalkThreads >> log_lanes; }
    __device__ __forceinline__ int lane() const { return static_cast<int>(threadIdx.x) & (lanes() - 1); }
    __device__ __forceinline__ int row_in_block() const { return static_cast<int>(threadIdx.x) >> log_lanes; }
    __device__ __forceinline__ int column(int pair) const { return pair * stride + lane() * count; }
};

template <class D>
struct PiecePair {
    Piece<D> first, second;
};

// Columns `col` and beyond; the second piece is the first once more where the row has none.
template <class D, bool is_whole>
__device__ __forceinline__ PiecePair<D> load_pair(const typename D::storage* x, const Walk& walk, int col) {
    const int n_second = walk.n_cols - col - walk.apart;
    const bool has_second = n_second > 0;
    return {load_piece<D, is_whole>(x + col, walk.end - col),
            load_piece<D, is_whole>(x + col + (has_second ? walk.apart : 0), has_second ? n_second : walk.end - col)};
}

}  // namespace embmath::cuda
