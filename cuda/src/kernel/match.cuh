// Candidates straight from codes: products on the matrix unit, compared where they are summed. Scores
// never leave the registers; what passes its query's threshold is appended to the query's list.
//
// A block takes a tile of queries through a range of rows. Queries and rows come 128 bytes of a line at a
// time by asynchronous copies, kStages ahead. In shared memory these are eight chunks of 16 bytes, chunk c
// of line r standing at c ^ (r % 8): the eight lines of a matrix fragment then lie in eight different
// groups of banks.
#pragma once

#include "device/codes.cuh"
#include "device/ptx.cuh"
#include "kernel/collect.cuh"
#include "kernel/match_shared.cuh"

namespace embmath::cuda {

// Which tiles of rows are looked at: all; or one in so many, as seeds, and the others afterwards. Spread
// over all rows, seeds say something of rows in any order.
struct TileOrder {
    unsigned apart = 0;  // 0: all
    bool has_seeds = false;

    __host__ __device__ __forceinline__ constexpr unsigned count(unsigned n_tiles) const {
        if (apart == 0) return n_tiles;
        const unsigned n_seeds = (n_tiles + apart - 1) / apart;
        return has_seeds ? n_seeds : n_tiles - n_seeds;
    }
    __host__ __device__ __forceinline__ constexpr unsigned tile(unsigned i) const {
        if (apart == 0) return i;
        return has_seeds ? i * apart : i / (apart - 1) * apart + i % (apart - 1) + 1;
    }
};

template <class Sink>
struct MatchArgs {
    Lines queries, rows;
    TileOrder order;
    std::int64_t first_row;  // what row 0 is called
    const core::HalfRow* terms;
    const core::HalfGate* gates;
    Sink sink;  // Lists, or Hits
    Permission permission;
};

// Where chunk `chunk` of a line stands.
__host__ __device__ __forceinline__ constexpr int swizzled(int line, int chunk) { return chunk ^ line % kChunks; }

// A thread's part in copying lines from `begin` on, a step's bytes of them: the same chunk of every 32nd
// line. Zero where there is none.
template <int kLines>
__device__ __forceinline__ void copy_lines(LineBytes* to, const Lines& from, unsigned begin, int step) {
    constexpr int kTogether = kMatchThreads / kChunks;
    const int first = static_cast<int>(threadIdx.x) / kChunks, chunk = static_cast<int>(threadIdx.x) % kChunks;
    const int at = step * kLineBytes + chunk * kChunkBytes;
    const unsigned n_left = at < from.n_bytes ? static_cast<unsigned>(from.n) - begin : 0u;
    const unsigned char* source = from.data + begin * from.stride + at;
    EMBMATH_UNROLL
    for (int line = first; line - first < kLines; line += kTogether) {
        if (kLines < kTogether && line >= kLines) break;
        const bool is_there = static_cast<unsigned>(line) < n_left;
        copy_async_16(&to[line][swizzled(first, chunk) * kChunkBytes], is_there ? source + line * from.stride : from.data,
                      is_there ? kChunkBytes : 0u);
    }
}

// Products of a tile, in the registers of its warps.
template <class Shape, class Code>
struct Accumulator {
    typename Code::Sum sums[Shape::kQueryFragments][Shape::kRowFragments][4];

    __device__ __forceinline__ void clear() {
        EMBMATH_UNROLL
        for (int q = 0; q < Shape::kQueryFragments; ++q) {
            EMBMATH_UNROLL
            for (int r = 0; r < Shape::kRowFragments; ++r) {
                EMBMATH_UNROLL
                for (int i = 0; i < 4; ++i) sums[q][r][i] = 0;
            }
        }
    }

    __device__ __forceinline__ void add(const LineBytes* queries, const LineBytes* rows, int first_query, int first_row) {
        const int lane = static_cast<int>(threadIdx.x) % 32;
        EMBMATH_ROLL  // unrolled, the fragments of the next bytes would spill
        for (int depth = 0; depth < kLineBytes / kDepthBytes; ++depth) {
            std::uint32_t a[Shape::kQueryFragments][4], b[Shape::kRowFragments / 2][4];
            EMBMATH_UNROLL
            for (int q = 0; q < Shape::kQueryFragments; ++q) {
                const int line = first_query + 16 * q + lane % 16;
                load_matrices(a[q], &queries[line][swizzled(line, 2 * depth + lane / 16) * kChunkBytes]);
            }
            EMBMATH_UNROLL
            for (int r = 0; r < Shape::kRowFragments / 2; ++r) {
                const int line = first_row + 16 * r + lane / 16 * 8 + lane % 8;
                load_matrices(b[r], &rows[line][swizzled(line, 2 * depth + lane / 8 % 2) * kChunkBytes]);
            }
            EMBMATH_UNROLL
            for (int q = 0; q < Shape::kQueryFragments; ++q) {
                EMBMATH_UNROLL
                for (int r = 0; r < Shape::kRowFragments; ++r) {
                    Code::multiply(sums[q][r], a[q], b[r / 2][r % 2 * 2], b[r / 2][r % 2 * 2 + 1]);
                }
            }
        }
    }
};

// Compares a tile with the thresholds of its queries. Almost always nothing passes; what does is found by
// its bit, and its product in shared memory, where registers have no numbers.
template <class Shape, class Code, class Sink>
__device__ __forceinline__ void filter(const MatchArgs<Sink>& args, MatchShared<Shape>& shared, const Accumulator<Shape, Code>& tile,
                                       unsigned first_query, unsigned first_row, int own_query, int own_row) {
    constexpr int kProducts = Shape::kQueryFragments * Shape::kRowFragments * 4;
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const auto row_of = [&](int r, int i) { return first_row + own_row + 8 * r + 2 * (lane % 4) + i; };
    const auto slot_of = [&](int q) { return own_query + 8 * q + lane / 4; };
    std::uint64_t passed = 0;
    EMBMATH_UNROLL
    for (int q = 0; q < 2 * Shape::kQueryFragments; ++q) {
        keep_in_memory();  // what all queries need of 8 rows is more than registers are left
        const core::HalfGate gate = shared.gates[slot_of(q)];
        const float least = shared.least[slot_of(q)];
        EMBMATH_UNROLL
        for (int r = 0; r < Shape::kRowFragments; ++r) {
            EMBMATH_UNROLL
            for (int i = 0; i < 2; ++i) {
                const core::HalfRow terms = shared.terms[own_row + 8 * r + 2 * (lane % 4) + i];
                const float upper = core::half_upper(static_cast<float>(tile.sums[q / 2][r][q % 2 * 2 + i]), terms, gate);
                // Rows that are not there, or excluded, must not pass where nothing is known yet.
                const bool is_passed = upper >= least && terms.off != -HUGE_VALF;
                passed |= static_cast<std::uint64_t>(is_passed) << ((q / 2 * Shape::kRowFragments + r) * 4 + q % 2 * 2 + i);
            }
        }
    }
    if (__ballot_sync(0xffffffffu, passed != 0) == 0) return;
    float* products = shared.spill() + warp * kProducts * 32 + lane;
    EMBMATH_UNROLL
    for (int n = 0; n < kProducts; ++n) {
        products[n * 32] = static_cast<float>(tile.sums[n / 4 / Shape::kRowFragments][n / 4 % Shape::kRowFragments][n % 4]);
    }
    for (; passed != 0; passed &= passed - 1) {
        const int n = __ffsll(static_cast<long long>(passed)) - 1;
        const int slot = slot_of(n / 4 / Shape::kRowFragments * 2 + n % 4 / 2);
        const std::int64_t index = row_of(n / 4 % Shape::kRowFragments, n % 2);
        const std::int64_t query = first_query + slot, row = args.first_row + index;
        const Key key = key_of(core::half_upper(products[n * 32], shared.terms[index - first_row], shared.gates[slot]), static_cast<std::uint32_t>(row));
        if (key < shared.own[slot].least || !args.permission.allows(query, row)) continue;
        append(args.sink, query, blockIdx.y, shared.own[slot], key);
    }
}

// Room for a tile's rows in every list, what is known of those rows, and the thresholds of the queries.
template <class Shape, class Sink>
__device__ void prepare_tile(const MatchArgs<Sink>& args, MatchShared<Shape>& shared, unsigned first_query, unsigned first_row) {
    for (int line = static_cast<int>(threadIdx.x); line < Shape::kRows; line += kMatchThreads) {
        const std::int64_t row = first_row + line;
        shared.terms[line] = row < args.rows.n ? args.terms[row] : core::HalfRow{0.0F, -HUGE_VALF, 0.0F};
    }
    const int warp = static_cast<int>(threadIdx.x) / 32;
    for (int slot = warp; slot < Shape::kQueries; slot += kMatchWarps) {
        const std::int64_t query = first_query + slot;
        if (query >= args.queries.n) continue;
        Collected& own = shared.own[slot];
        make_room<WarpGroup>(args.sink, query, blockIdx.y, Shape::kRows, own, shared.scratch[warp]);
        if (WarpGroup::rank() != 0 || own.least == kNothing) continue;
        const Key others = proven(args.sink, query);
        if (others > own.least) own.least = others;
    }
    __syncthreads();
    for (int slot = static_cast<int>(threadIdx.x); slot < Shape::kQueries; slot += kMatchThreads) {
        const Key least = shared.own[slot].least;
        shared.least[slot] = least == kNothing ? HUGE_VALF : least == 0 ? -HUGE_VALF : core::key_score(least);
    }
    __syncthreads();
}

// Two blocks on a multiprocessor, one where their shared memory does not fit twice.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
inline constexpr int kMatchBlocks = 1;
#else
inline constexpr int kMatchBlocks = 2;
#endif

template <class Shape, class Code, class Sink>
__global__ void __launch_bounds__(kMatchThreads, kMatchBlocks) match(const __grid_constant__ MatchArgs<Sink> args) {
    auto& shared = *reinterpret_cast<MatchShared<Shape>*>(shared_memory());
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const unsigned first_query = blockIdx.x * Shape::kQueries;
    for (int slot = static_cast<int>(threadIdx.x); slot < Shape::kQueries; slot += kMatchThreads) {
        const std::int64_t query = first_query + slot;
        const bool is_real = query < args.queries.n;
        shared.own[slot] = is_real ? reopen(args.sink, query, blockIdx.y) : Collected{0, kNothing};
        shared.gates[slot] = is_real ? args.gates[query] : core::HalfGate{0.0F, 0.0F, 0.0F, 0};
    }
    __syncthreads();
    const int own_query = warp / Shape::kWarpsOverRows * Shape::kWarpQueries;
    const int own_row = warp % Shape::kWarpsOverRows * Shape::kWarpRows;
    const std::int64_t n_tiles = args.order.count(static_cast<unsigned>((args.rows.n + Shape::kRows - 1) / Shape::kRows));
    const auto first_tile = static_cast<unsigned>(n_tiles * blockIdx.y / args.sink.n_splits);
    const auto last_tile = static_cast<unsigned>(n_tiles * (blockIdx.y + 1) / args.sink.n_splits);
    Accumulator<Shape, Code> sums;
    for (unsigned tile = first_tile; tile < last_tile; ++tile) {
        const unsigned first_row = args.order.tile(tile) * Shape::kRows;
        const auto fetch = [&](int step) {
            if (step * kLineBytes < args.rows.n_bytes) {
                const int stage = step % kStages;
                copy_lines<Shape::kQueries>(shared.queries[stage], args.queries, first_query, step);
                copy_lines<Shape::kRows>(shared.rows[stage], args.rows, first_row, step);
            }
            commit_copies();  // also of nothing, so that groups count steps
        };
        for (int step = 0; step < kStages - 1; ++step) fetch(step);
        prepare_tile(args, shared, first_query, first_row);
        sums.clear();
        EMBMATH_ROLL
        for (int step = 0; step * kLineBytes < args.rows.n_bytes; ++step) {
            wait_copies<kStages - 2>();
            __syncthreads();  // everyone's copies are there, and everyone is done with the stage refilled next
            fetch(step + kStages - 1);
            const int stage = step % kStages;
            sums.add(shared.queries[stage], shared.rows[stage], own_query, own_row);
        }
        wait_copies<0>();
        __syncthreads();  // everyone has read the codes
        filter<Shape, Code>(args, shared, sums, first_query, first_row, own_query, own_row);
        __syncthreads();
    }
    for (int slot = static_cast<int>(threadIdx.x); slot < Shape::kQueries; slot += kMatchThreads) {
        const std::int64_t query = first_query + slot;
        if (query < args.queries.n) close(args.sink, query, blockIdx.y, shared.own[slot]);
    }
}

}  // namespace embmath::cuda
