// Sign bits, most significant first: a lane makes bytes, of eight columns each.
#pragma once

#include "device/pieces.cuh"
#include "kernel/arguments.cuh"
#include "kernel/walk.cuh"

namespace embmath::cuda {

// Bytes that a lane reads for before it writes the first.
inline constexpr int kBytesTogether = 4;

struct PackBitsArgs {
    Rows rows;
    int log_lanes;     // of a row
    double threshold;  // bits are set above it
    std::uint8_t flip;
    std::uint8_t* out;
};

template <class D>
struct EightColumns {
    static constexpr int kPieces = 8 / Piece<D>::kCount;
    Piece<D> pieces[kPieces];

    template <bool is_whole>
    __device__ __forceinline__ void load(const typename D::storage* p, int left) {
        EMBMATH_UNROLL
        for (int i = 0; i < kPieces; ++i) {
            const int first = i * Piece<D>::kCount;
            const bool has_some = first < left;
            pieces[i] = load_piece<D, is_whole>(p + (has_some ? first : 0), has_some ? left - first : left);
        }
    }
    template <bool is_whole>
    __device__ __forceinline__ unsigned bits_above(float below, int left) const {
        unsigned bits = 0;
        EMBMATH_UNROLL
        for (int i = 0; i < 8; ++i) {
            const bool is_set = pieces[i / Piece<D>::kCount][i % Piece<D>::kCount] > below && (is_whole || i < left);
            bits |= is_set ? 0x80u >> i : 0u;
        }
        return bits;
    }
};

template <class D, bool is_whole>
__global__ void __launch_bounds__(kWalkThreads) pack_bits(const PackBitsArgs args) {
    const int thread = static_cast<int>(threadIdx.x), lanes = 1 << args.log_lanes, n_cols = static_cast<int>(args.rows.n_cols);
    const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (kWalkThreads >> args.log_lanes) + (thread >> args.log_lanes);
    if (row >= args.rows.n_rows) return;
    const typename D::storage* x = args.rows.row<D>(row);
    // Elements are above a float64 threshold exactly if they are above the largest float32 that is not.
    const float below = __double2float_rd(args.threshold);
    const int n_bytes = (n_cols + 7) / 8;
    std::uint8_t* out = args.out + row * n_bytes;
    for (int first = thread & (lanes - 1); first < n_bytes; first += kBytesTogether * lanes) {
        EightColumns<D> columns[kBytesTogether];
        EMBMATH_UNROLL
        for (int b = 0; b < kBytesTogether; ++b) {
            const int byte = first + b * lanes;
            if (byte < n_bytes) columns[b].template load<is_whole>(x + 8 * byte, n_cols - 8 * byte);
        }
        EMBMATH_UNROLL
        for (int b = 0; b < kBytesTogether; ++b) {
            const int byte = first + b * lanes;
            if (byte >= n_bytes) break;
            out[byte] = static_cast<std::uint8_t>(columns[b].template bits_above<is_whole>(below, n_cols - 8 * byte) ^ args.flip);
        }
    }
}

}  // namespace embmath::cuda
