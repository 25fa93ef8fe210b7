#include "engine/plan.hpp"

#include <algorithm>

#include "engine/scorer.hpp"
#include "engine/tile_stage.hpp"

namespace embmath::engine {

namespace {

constexpr std::size_t kChunkBytes = 448 << 10;   // of a 512 KiB to 2 MiB L2
constexpr std::size_t kChunkStep = 48;           // three blocks: the widest register tile
constexpr std::size_t kBatchBytes = 24 << 20;    // per-query state of one worker, and of one batch
constexpr std::int64_t kMaxBatch = 1024;
constexpr int kScanRows = 256;

// Packing a row costs about as much as scoring it canonically for two queries (measured, d = 384 and
// 768); from three on, packing once and filtering in float32 wins.
constexpr std::int64_t kScanQueries = 2;

std::size_t key_capacity(std::int64_t limit, int chunk_rows) {
    const std::int64_t kept = limit == kNoLimit ? 1024 : std::max<std::int64_t>(256, std::min(8 * limit, limit + 8192));
    return static_cast<std::size_t>(kept + chunk_rows);
}

}  // namespace

int chunk_rows_for(std::size_t words_per_row) {
    const std::size_t rows = kChunkBytes / (4 * std::max<std::size_t>(words_per_row, 1));
    return static_cast<int>(std::clamp<std::size_t>(rows / kChunkStep * kChunkStep, kChunkStep, 1008));
}

Plan make_plan(const SearchSpec& spec, const Execution& execution, std::int64_t n_rows) {
    const std::int64_t n_queries = spec.queries.n_rows();
    const auto n_cols = static_cast<std::int64_t>(spec.queries.n_cols());
    const std::int64_t limit = spec.limit == kNoLimit ? kNoLimit : std::min(spec.limit, n_rows);
    const bool keeps_most = limit != kNoLimit && 4 * limit >= n_rows;

    Plan plan{};
    plan.has_tile_stage = n_queries > kScanQueries && !keeps_most &&
                          TileStage::exists(spec.metric, spec.queries.dtype(), spec.corpus.dtype(), n_cols);
    const std::size_t words = words_per_row(spec.metric, spec.queries.n_cols());
    plan.chunk_rows = plan.has_tile_stage ? chunk_rows_for(words) : kScanRows;
    plan.key_capacity = plan.has_tile_stage ? key_capacity(limit, plan.chunk_rows) : 0;

    const double work = static_cast<double>(n_queries) * static_cast<double>(n_rows) * static_cast<double>(words);
    const std::size_t hit_bytes = sizeof(Hit) * static_cast<std::size_t>(limit == kNoLimit ? 64 : limit);
    const std::size_t per_query =
        plan.key_capacity * sizeof(core::Key) + 2 * hit_bytes + Scorer::bytes_per_query(spec.metric, spec.queries.n_cols()) + 4 * words;
    const auto fitting = static_cast<std::int64_t>(kBatchBytes / per_query / kBlockRows * kBlockRows);
    plan.grid.n_queries = n_queries;
    plan.grid.n_chunks = (n_rows + plan.chunk_rows - 1) / plan.chunk_rows;
    plan.grid.workers = runtime::worker_count(execution, work);
    const std::int64_t wanted = std::min(kMaxBatch, (n_queries + kBlockRows - 1) / kBlockRows * kBlockRows);
    plan.grid.batch_queries = std::max<std::int64_t>(std::min(fitting, wanted), kBlockRows);
    const std::uint64_t per_worker = static_cast<std::uint64_t>(std::min(plan.grid.batch_queries, n_queries)) * per_query +
                                     Panel::bytes(spec.metric, spec.queries.n_cols(), plan.chunk_rows);
    require_memory(per_worker * static_cast<std::uint64_t>(plan.grid.workers), "search: workspace");
    return plan;
}

}  // namespace embmath::engine
