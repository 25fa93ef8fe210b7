// How blocks of threads divide the work: what kernels and their launches must agree on.
#pragma once

#include <cstdint>

namespace embmath::cuda {

inline constexpr int kLanes = 16;        // that score a row: half a warp
inline constexpr int kChunkBytes = 16;   // of a copy; lines of codes are padded to it
inline constexpr int kLineBytes = 128;   // of every line, that match() holds at a time
inline constexpr int kDepthBytes = 32;   // of a line, that an instruction multiplies

// One row for each half warp.
inline constexpr int kRowsPerBlock = 16, kRowThreads = kRowsPerBlock * kLanes;
inline constexpr int kRescoreThreads = 128, kRescoreRows = kRescoreThreads / kLanes;
inline constexpr unsigned kScoreBlocks = 1024;  // that share all hits

// Canonical scores of all rows: four rows for each half warp at a time.
inline constexpr int kExactThreads = 256, kRowsTogether = 4;
inline constexpr int kExactRows = kExactThreads / kLanes * kRowsTogether;

// A tile of somebody else's products: four scores for each thread at a time.
inline constexpr int kSelectThreads = 256, kScoresTogether = 4;
inline constexpr int kSelectStep = kSelectThreads * kScoresTogether;

inline constexpr int kOpenThreads = 256, kGateThreads = 128, kTightenThreads = 256, kFinishThreads = 256;

inline constexpr int kMatchThreads = 256, kMatchWarps = kMatchThreads / 32;

inline constexpr int kMatchRows = 128;  // of a tile, whatever its shape

// Products on the matrix unit. Fragments that a warp holds: 16 queries by 8 rows each. Warps stand side
// by side over the tile.
template <int WarpsOverQueries, int QueryFragments, int RowFragments>
struct MatchShape {
    static constexpr int kQueryFragments = QueryFragments, kRowFragments = RowFragments;
    static constexpr int kWarpsOverRows = kMatchWarps / WarpsOverQueries;
    static constexpr int kWarpQueries = 16 * QueryFragments, kWarpRows = 8 * RowFragments;
    static constexpr int kQueries = WarpsOverQueries * kWarpQueries;
    static constexpr int kRows = kWarpsOverRows * kWarpRows;
    static_assert(RowFragments % 2 == 0, "rows are loaded 16 at a time");
    static_assert(kRows == kMatchRows);
};
using NarrowMatch = MatchShape<1, 1, 2>;  // 16 queries x 128 rows: bound by memory
using MediumMatch = MatchShape<2, 2, 4>;  // 64 x 128: also where shared memory is short (sm_120: 99 KiB)
using WideMatch = MatchShape<2, 4, 4>;    // 128 x 128: bound by multiplications

}  // namespace embmath::cuda
