// Candidates from a tile of products that somebody else has multiplied. One block per (query, split).
#pragma once

#include "kernel/collect.cuh"
#include "kernel/shapes.cuh"

namespace embmath::cuda {

struct SelectArgs {
    const float* tile;  // [query][ld]: products of codes
    std::int64_t ld;
    std::int64_t first_row, n_rows;  // of the tile
    const core::HalfRow* terms;      // of the tile's rows
    Lists lists;
    Permission permission;
};

struct SelectShared {
    SettleScratch scratch;
    Collected own;
};

__global__ void __launch_bounds__(kSelectThreads) select_tile(const SelectArgs args) {
    auto& shared = *reinterpret_cast<SelectShared*>(shared_memory());
    const std::int64_t query = blockIdx.x, split = blockIdx.y;
    if (threadIdx.x == 0) shared.own = reopen(args.lists, query, split);
    __syncthreads();
    if (shared.own.least == kNothing) return;
    const core::HalfGate gate = args.lists.gates[query];
    const std::int64_t first = args.n_rows * split / args.lists.n_splits;
    const std::int64_t last = args.n_rows * (split + 1) / args.lists.n_splits;
    for (std::int64_t begin = first; begin < last; begin += kSelectStep) {
        make_room<BlockGroup>(args.lists, query, split, kSelectStep, shared.own, shared.scratch);
        const Key others = proven(args.lists, query), least = shared.own.least > others ? shared.own.least : others;
        EMBMATH_UNROLL
        for (int i = 0; i < kScoresTogether; ++i) {
            const std::int64_t col = begin + i * kSelectThreads + threadIdx.x;
            if (col >= last) break;
            const float upper = core::half_upper(args.tile[query * args.ld + col], args.terms[col], gate);
            const std::int64_t row = args.first_row + col;
            const Key key = key_of(upper, static_cast<std::uint32_t>(row));
            if (!(upper > -HUGE_VALF) || key < least || !args.permission.allows(query, row)) continue;
            append(args.lists, query, split, shared.own, key);
        }
        __syncthreads();
        if (shared.own.least == kNothing) break;
    }
    __syncthreads();
    if (threadIdx.x == 0) close(args.lists, query, split, shared.own);
}

}  // namespace embmath::cuda
