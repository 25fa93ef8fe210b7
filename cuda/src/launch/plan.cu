#include <algorithm>

#include "kernel/finish_shared.cuh"
#include "kernel/match_shared.cuh"
#include "launch/device.hpp"
#include "launch/plane.hpp"
#include "launch/search.hpp"

namespace embmath::cuda {

namespace {

constexpr std::int64_t kListBytes = std::int64_t{256} << 20;     // for the lists of a batch
constexpr std::int64_t kCodeBytes = std::int64_t{256} << 20;     // for the codes of a block
constexpr std::int64_t kLargestBatch = 16384;
// Below this many multiply-adds canonical scores take no longer than codes take to make.
constexpr double kSmallWork = 0x1p26;
constexpr std::int64_t kMostSplits = 1024;

std::uint32_t step_of(embmath_plan kind) {
    switch (kind) {
        case EMBMATH_PLAN_MATCH: return WideMatch::kRows;
        case EMBMATH_PLAN_TILES: return kSelectStep;
        default: return 0;
    }
}

Tile tile_for(std::int64_t n_queries, int device) {
    if (n_queries <= NarrowMatch::kQueries) return Tile::narrow;
    const bool fits = shared_bytes(device) >= sizeof(MatchShared<WideMatch>);
    return n_queries <= MediumMatch::kQueries || !fits ? Tile::medium : Tile::wide;
}

std::int64_t queries_of(Tile tile) {
    switch (tile) {
        case Tile::narrow: return NarrowMatch::kQueries;
        case Tile::medium: return MediumMatch::kQueries;
        default: return WideMatch::kQueries;
    }
}

std::int64_t round_up_to(std::int64_t value, std::int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

std::int64_t most_results(int device) {
    std::int64_t k = std::int64_t{1} << 14;
    while (k > 1 && finish_bytes(k) > shared_bytes(device)) k /= 2;
    return k;
}

embmath_cuda_status check(const embmath_search& search, int device) {
    for (const embmath_rows* rows : {&search.queries, &search.corpus}) {
        if (const embmath_cuda_status status = check_rows(*rows); status != EMBMATH_CUDA_OK) return status;
    }
    if (search.queries.dtype != EMBMATH_F32) return EMBMATH_CUDA_BAD_DTYPE;
    if (search.metric < EMBMATH_COSINE || search.metric > EMBMATH_SQEUCLIDEAN) return EMBMATH_CUDA_BAD_METRIC;
    if (search.plan < EMBMATH_PLAN_AUTO || search.plan > EMBMATH_PLAN_TILES) return EMBMATH_CUDA_BAD_PLAN;
    if (search.k < 1 || search.k > most_results(device) || search.queries.n_cols != search.corpus.n_cols) return EMBMATH_CUDA_BAD_SIZE;
    return EMBMATH_CUDA_OK;
}

SearchPlan make_plan(const embmath_search& search, int device) {
    const std::int64_t n_queries = search.queries.n_rows, n_rows = search.corpus.n_rows, k = std::min(search.k, std::max<std::int64_t>(n_rows, 1));
    SearchPlan plan;
    plan.kind = static_cast<embmath_plan>(search.plan);
    if (plan.kind == EMBMATH_PLAN_AUTO) {
        const double work = static_cast<double>(n_queries) * static_cast<double>(n_rows) * static_cast<double>(search.corpus.n_cols);
        plan.kind = work < kSmallWork || 4 * k > n_rows ? EMBMATH_PLAN_EXACT : EMBMATH_PLAN_MATCH;
    }
    plan.tile = tile_for(n_queries, device);
    // Four times the limit leaves room for the rows that an interval holds beyond it. Canonical scores
    // need none, but a query that gives up its list takes the same memory.
    const std::uint32_t step = std::max<std::uint32_t>(step_of(plan.kind), kExactRows);
    plan.capacity = static_cast<std::uint32_t>(round_up_to(std::max<std::int64_t>(4 * k, 256) + step, 256));

    const std::int64_t tile_queries = plan.kind == EMBMATH_PLAN_MATCH ? queries_of(plan.tile) : 1;
    const std::int64_t groups = std::max<std::int64_t>((std::min(n_queries, kLargestBatch) + tile_queries - 1) / tile_queries, 1);
    const std::int64_t wanted = std::max<std::int64_t>(2 * multiprocessors(device) / groups, 1);
    const std::int64_t least_rows = plan.kind == EMBMATH_PLAN_MATCH ? 8 * WideMatch::kRows : 4 * kExactRows;
    const std::int64_t list_bytes = static_cast<std::int64_t>(plan.capacity) * 8;
    const std::int64_t fitting = std::max<std::int64_t>(kListBytes / (list_bytes * std::min<std::int64_t>(n_queries + 1, 128)), 1);
    plan.n_splits = std::min({wanted, std::max<std::int64_t>(n_rows / least_rows, 1), fitting, kMostSplits});
    const std::int64_t batch = std::max<std::int64_t>(kListBytes / (list_bytes * plan.n_splits), 1);
    plan.batch_queries = std::min({batch >= tile_queries ? batch / tile_queries * tile_queries : batch, kLargestBatch, std::max<std::int64_t>(n_queries, 1)});
    const std::int64_t row_bytes = 2 * padded_cols(search.corpus.n_cols);
    plan.block_rows = std::min(std::max<std::int64_t>(kCodeBytes / row_bytes / 128 * 128, 128), std::max<std::int64_t>(n_rows, 1));
    plan.seed_rows = std::min(std::max<std::int64_t>(16384, 32 * k), n_rows);
    return plan;
}

SearchMemory carve(const embmath_search& search, const SearchPlan& plan, void* workspace, std::size_t* bytes) {
    Carver carver(workspace);
    SearchMemory memory;
    const std::int64_t n = plan.batch_queries, n_lists = n * plan.n_splits;
    memory.queries = carve_plane(carver, n, search.queries.n_cols, false);
    Lists& lists = memory.lists;
    lists.n_splits = plan.n_splits;
    lists.capacity = plan.capacity;
    lists.k = static_cast<std::uint32_t>(search.k);
    lists.keys = carver.take<core::Key>(n_lists * plan.capacity);
    lists.least = carver.take<core::Key>(n_lists);
    lists.counts = carver.take<std::uint32_t>(n_lists);
    lists.thresholds = carver.take<std::uint32_t>(n);
    lists.is_exact = carver.take<std::uint32_t>(n);
    lists.gates = carver.take<core::HalfGate>(n);
    if (plan.kind == EMBMATH_PLAN_EXACT) {
        // No codes.
    } else if (search.plane != nullptr) {
        Carver given(const_cast<void*>(search.plane));
        memory.rows = carve_plane(given, search.corpus.n_rows, search.corpus.n_cols, true);
    } else {
        memory.rows = carve_plane(carver, plan.block_rows, search.corpus.n_cols, true);
    }
    if (bytes != nullptr) *bytes = carver.used();
    return memory;
}

}  // namespace embmath::cuda
