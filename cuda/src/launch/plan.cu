#include <algorithm>

#include "kernel/finish_shared.cuh"
#include "kernel/match_shared.cuh"
#include "launch/device.hpp"
#include "launch/kinds.hpp"
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
// Float rows without codes cost these queries one read when they are scored canonically at once, and two
// reads and a write when codes are made first: 4 and 8 bytes for each float32. Unmeasured.
constexpr std::int64_t kScannedQueries = 2;

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
        if (const embmath_cuda_status status = check_metric(*rows, search.metric); status != EMBMATH_CUDA_OK) return status;
    }
    if (search.queries.dtype != (is_float(search.corpus.dtype) ? EMBMATH_F32 : search.corpus.dtype)) return EMBMATH_CUDA_BAD_DTYPE;
    // Products of somebody else are those of float16 codes, made in the workspace.
    if (search.plan == EMBMATH_PLAN_TILES && (!is_float(search.corpus.dtype) || search.plane != nullptr)) return EMBMATH_CUDA_BAD_PLAN;
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
        const bool has_codes = search.plane != nullptr || is_coded(search.corpus, static_cast<Metric>(search.metric));
        const bool is_scanned = n_queries <= kScannedQueries && !has_codes && is_float(search.corpus.dtype) && has_fast_float64(device);
        plan.kind = work < kSmallWork || 4 * k > n_rows || is_scanned ? EMBMATH_PLAN_EXACT : EMBMATH_PLAN_MATCH;
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
    const bool has_codes = plan.kind != EMBMATH_PLAN_TILES && is_coded(search.corpus, static_cast<Metric>(search.metric));
    const std::int64_t row_bytes = (has_codes ? 0 : line_bytes(search.corpus)) + static_cast<std::int64_t>(sizeof(core::HalfRow));
    const std::int64_t fitting_rows = std::max<std::int64_t>(kCodeBytes / row_bytes / kMatchRows, 1) * kMatchRows;
    plan.block_rows = std::max<std::int64_t>(search.plane != nullptr ? n_rows : std::min(fitting_rows, n_rows), 1);
    const std::int64_t n_seeds = std::max<std::int64_t>(kLeastSeeds, 32 * k), apart = std::min(plan.block_rows, n_rows) / n_seeds;
    plan.seeds_apart = apart < 2 ? 0 : static_cast<std::uint32_t>(apart);
    return plan;
}

SearchMemory carve(const embmath_search& search, const SearchPlan& plan, bool has_lists, void* workspace, std::size_t* bytes) {
    Carver carver(workspace);
    SearchMemory memory;
    const std::int64_t n = plan.batch_queries, n_lists = n * plan.n_splits;
    const auto metric = static_cast<Metric>(search.metric);
    memory.queries = carve_plane(carver, search.queries, n, metric, false, false);
    memory.gates = carver.take<core::HalfGate>(n);
    memory.is_exact = carver.take<std::uint32_t>(n);
    if (has_lists) {
        Lists& lists = memory.lists;
        lists.n_splits = plan.n_splits;
        lists.capacity = plan.capacity;
        lists.k = static_cast<std::uint32_t>(search.k);
        lists.keys = carver.take<core::Key>(n_lists * plan.capacity);
        lists.least = carver.take<core::Key>(n_lists);
        lists.counts = carver.take<std::uint32_t>(n_lists);
        lists.thresholds = carver.take<std::uint32_t>(n);
        lists.is_exact = memory.is_exact;
        lists.gates = memory.gates;
    } else {
        memory.least = carver.take<float>(n);
    }
    if (plan.kind == EMBMATH_PLAN_EXACT) {
        // No codes.
    } else if (search.plane != nullptr) {
        Carver given(const_cast<void*>(search.plane));
        memory.rows = carve_plane(given, search.corpus, search.corpus.n_rows, metric, true, true);
    } else {
        memory.rows = carve_plane(carver, search.corpus, plan.block_rows, metric, plan.kind != EMBMATH_PLAN_TILES, true);
    }
    if (bytes != nullptr) *bytes = carver.used();
    return memory;
}

embmath_cuda_status bytes_of(const embmath_search& search, int device, bool has_lists, std::size_t* bytes) {
    if (const embmath_cuda_status status = check(search, device); status != EMBMATH_CUDA_OK) return status;
    const DeviceGuard guard(device);
    if (guard.status() != EMBMATH_CUDA_OK) return guard.status();
    carve(search, make_plan(search, device), has_lists, nullptr, bytes);
    return EMBMATH_CUDA_OK;
}

}  // namespace embmath::cuda
