// The code tile of an ISA with matrix registers: 32 queries against two blocks of 16 rows at a time,
// each block loaded once for both halves of the queries.
//
// Per 64 dimensions: four loads feed four products of 16 x 16 x 64, which take twice as long.
#pragma once

#include "core/compiler.hpp"
#include "kernel/table.hpp"
#include "kernel/tile.hpp"

namespace embmath::kernel {

inline constexpr int kMatrixQueries = 32, kMatrixSteps = 16;

struct MatrixPass {
    const char* queries;        // at the first step
    std::size_t query_bytes;    // from query to query
    const char* panel;
    std::size_t block_bytes;
    std::size_t n_steps;        // of this pass: whole matrices, or one that is not full
    const char* start;          // [32][16] words that sums start from, or null: from the scores
    char* scores;
    std::size_t score_bytes;    // from query to query
};

template <class I, bool HasSecondHalf, bool FromMemory, bool HasSecondBlock>
EMBMATH_INLINE void matrix_registers(const MatrixPass& pass, std::size_t block) noexcept {
    using M = typename I::Matrix;
    constexpr std::size_t kBlock = 64;  // bytes: 16 words, a step of a block or a query's sums with it
    char* scores = pass.scores + block * kBlock;
    char* lower = scores + 16 * pass.score_bytes;
    const char* from = pass.start != nullptr ? pass.start : scores;
    const std::size_t from_bytes = pass.start != nullptr ? kBlock : pass.score_bytes;
    const std::size_t next = pass.start != nullptr ? 0 : kBlock;
    M::template load<0>(from, from_bytes);
    if constexpr (HasSecondBlock) M::template load<1>(from + next, from_bytes);
    if constexpr (HasSecondHalf) M::template load<2>(from + 16 * from_bytes, from_bytes);
    if constexpr (HasSecondHalf && HasSecondBlock) M::template load<3>(from + 16 * from_bytes + next, from_bytes);
    const char* rows = pass.panel + block * pass.block_bytes;
    constexpr std::size_t kTogether = HasSecondBlock ? 2 : 1;
    for (std::size_t step = 0; step < pass.n_steps; step += kMatrixSteps) {
        // The next blocks travel meanwhile (32 queries: 16 -> 20 GB/s).
        for (std::size_t b = 0; FromMemory && b < kTogether; ++b) {
            const char* next = rows + (kTogether + b) * pass.block_bytes + step * kBlock;
            EMBMATH_UNROLL
            for (std::size_t line = 0; line < kMatrixSteps; ++line) __builtin_prefetch(next + line * kBlock, 0, 2);
        }
        M::template load<6>(rows + step * kBlock, kBlock);
        M::template load<4>(pass.queries + step * 4, pass.query_bytes);
        M::template dot<0, 4, 6>();
        if constexpr (HasSecondBlock) {
            M::template load<7>(rows + pass.block_bytes + step * kBlock, kBlock);
            M::template dot<1, 4, 7>();
        }
        if constexpr (HasSecondHalf) {
            M::template load<5>(pass.queries + 16 * pass.query_bytes + step * 4, pass.query_bytes);
            M::template dot<2, 5, 6>();
            if constexpr (HasSecondBlock) M::template dot<3, 5, 7>();
        }
    }
    M::template store<0>(scores, pass.score_bytes);
    if constexpr (HasSecondBlock) M::template store<1>(scores + kBlock, pass.score_bytes);
    if constexpr (HasSecondHalf) M::template store<2>(lower, pass.score_bytes);
    if constexpr (HasSecondHalf && HasSecondBlock) M::template store<3>(lower + kBlock, pass.score_bytes);
}

template <class I, bool HasSecondHalf, bool FromMemory>
EMBMATH_INLINE void matrix_pass(const MatrixPass& pass, std::size_t n_blocks) noexcept {
    std::size_t block = 0;
    for (; block + 2 <= n_blocks; block += 2) matrix_registers<I, HasSecondHalf, FromMemory, true>(pass, block);
    if (block < n_blocks) matrix_registers<I, HasSecondHalf, FromMemory, false>(pass, block);
}

// Steps that fill no matrix come in a pass of their own, whose sums the first pass has left.
template <class I>
void matrix_tile(const TileArgs& args) noexcept {
    if (args.query_rows == nullptr || args.n_queries <= kTileQueries) return tile<I, CodeDotStep<I>>(args);
    alignas(64) std::uint32_t start[kMatrixQueries][16];
    for (int query = 0; query < args.n_queries; ++query) {
        const std::uint32_t value = args.start == nullptr ? 0 : static_cast<const std::uint32_t*>(args.start)[query];
        for (int lane = 0; lane < 16; ++lane) start[query][lane] = value;
    }
    const int rows[2] = {args.n_queries < 16 ? args.n_queries : 16, args.n_queries > 16 ? args.n_queries - 16 : 0};
    const std::size_t n_whole = args.n_steps / kMatrixSteps * kMatrixSteps;
    MatrixPass pass{static_cast<const char*>(args.query_rows), args.query_words * 4, static_cast<const char*>(args.panel),
                    args.block_stride * 4, n_whole, reinterpret_cast<const char*>(start),
                    static_cast<char*>(args.scores), args.ld * 4};
    const auto run = [&](std::size_t steps) {
        if (steps == 0) return;
        I::Matrix::configure(rows, static_cast<int>(steps < kMatrixSteps ? steps : kMatrixSteps));
        pass.n_steps = steps;
        if (rows[1] == 0) {
            matrix_pass<I, false, true>(pass, args.n_blocks);
        } else if (args.from_memory) {
            matrix_pass<I, true, true>(pass, args.n_blocks);
        } else {
            matrix_pass<I, true, false>(pass, args.n_blocks);
        }
        pass.queries += steps * 4;
        pass.panel += steps * 64;
        pass.start = nullptr;
    };
    run(n_whole);
    run(args.n_steps - n_whole);
    I::Matrix::release();
}

}  // namespace embmath::kernel
