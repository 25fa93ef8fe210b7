#include "engine/plan.hpp"

#include <algorithm>

#include "engine/code_stage.hpp"
#include "engine/decoded_stage.hpp"
#include "engine/float_stage.hpp"
#include "engine/scorer.hpp"

namespace embmath::engine {

namespace {

constexpr std::size_t kChunkBytes = 448 << 10;   // of a 512 KiB to 2 MiB L2
constexpr std::size_t kChunkStep = 48;           // three blocks: the widest register tile
constexpr std::size_t kBatchBytes = 24 << 20;    // per-query state of one worker, and of one batch
constexpr std::int64_t kMaxBatch = 1024;
constexpr int kScanRows = 256;

// Packing a row costs about as much as scoring it canonically for two queries (measured, d = 384 and
// 768); from three on, packing once and filtering in float32 wins.
// Counting the bits of a row where it lies takes a tenth of the time that packing it does (2.5 of 25 ns, 768 bits).
constexpr std::int64_t kScanQueries = 2, kBitScanQueries = 10;

// From this many queries on, making codes on the fly costs less than they save: with AMX both ways
// take the same 32 ms at 34 queries, n = 100k, d = 768. Rows of int8 are codes already.
constexpr std::int64_t kCodeQueries = 32;
constexpr std::int64_t kCodeDims = 64;

// Up to this many queries codes that are searched as what they decode to are read as they are (n = 100k,
// d = 768, against decoding them: 0.2 of its time for one query, 0.3 for eight, 0.6 for 64, 0.8 for 128).
constexpr std::int64_t kDecodedQueries = 64;

// Up to this many queries reading the codes takes longer than multiplying them twice.
constexpr std::int64_t kWideQueries = 4;

// Codes of four bits leave some 80 rows for each one wanted; verifying those takes longer than
// reading longer codes beyond this many, in all or for each of so many rows (n = 600k: 14.6 times the
// float32 scan at k = 10, where int8 of a prefix reaches 7.7; 8.8 and 6.2 at k = 100).
constexpr std::int64_t kNibbleHits = 40, kRowsPerNibbleHit = 5000;

// A threshold from 64 times as many rows as are wanted leaves a few percent of the others, at the price
// of a few percent more tile work.
std::int64_t sample_rows(std::int64_t limit, std::int64_t n_rows, CodeKind kind) {
    if (limit == kNoLimit) return 0;
    const std::int64_t times = kind == CodeKind::int8 ? 64 : 256;
    const std::int64_t rows = std::min(std::max<std::int64_t>(1024, times * limit), n_rows / 16);
    return rows >= 256 && rows >= 2 * limit ? rows : 0;
}

std::size_t key_capacity(std::int64_t limit) {
    if (limit == kNoLimit) return 1024;
    return static_cast<std::size_t>(std::max<std::int64_t>(768, std::min(20 * limit, limit + 8192)));
}

// Thresholds that follow the best rows closely keep candidates few; each look at them has its price.
std::size_t settle_keys(std::int64_t limit) {
    const std::size_t room = key_capacity(limit) * 3 / 4;
    return limit == kNoLimit ? room : std::min(static_cast<std::size_t>(std::max<std::int64_t>(32, 2 * limit)), room);
}

// Few queries read codes as they are; many have them decoded once for all.
bool reads_codes(const SearchSpec& spec, std::int64_t n_rows, std::int64_t limit) {
    if (!spec.may_use_codes || spec.codes != nullptr || spec.queries.n_rows() > kDecodedQueries) return false;
    if (limit != kNoLimit && 100 * limit > n_rows) return false;
    return DecodedStage::exists(spec.table, spec.metric, spec.corpus, static_cast<std::int64_t>(spec.queries.n_cols()));
}

int code_digits(const SearchSpec& spec, std::int64_t n_rows, std::int64_t limit) {
    const std::int64_t n_queries = spec.queries.n_rows();
    const auto n_cols = static_cast<std::int64_t>(spec.queries.n_cols());
    if (!spec.may_use_codes || !CodeStage::exists(spec.metric, spec.queries.dtype(), spec.corpus.dtype(), n_cols)) return 0;
    // Where more than one row in a hundred is wanted, verifying them costs more than the filter saves.
    if (limit != kNoLimit && 100 * limit > n_rows) return 0;
    const std::int64_t least = spec.corpus.dtype() == Dtype::i8 ? kScanQueries + 1 : kCodeQueries;
    // Codes that an index keeps are used; made on the fly they must pay (scalar kernels: 0.3 of float32).
    if (spec.codes == nullptr && !spec.table.multiplies_bytes) return 0;
    if (spec.codes == nullptr && (n_queries < least || n_cols < kCodeDims)) return 0;
    const bool is_exact = spec.queries.dtype() == Dtype::i8 && spec.table.code_levels == 127;
    return n_queries <= kWideQueries && !is_exact ? 2 : 1;
}

// Few queries wait for memory: the shortest codes. Many wait for multiplications: the fewest of them.
CodeKind code_kind(const SearchSpec& spec, std::int64_t n_rows, std::int64_t limit) {
    if (spec.codes == nullptr) return CodeKind::int8;
    const auto has = [&](CodeKind kind) { return spec.codes->panels[static_cast<int>(kind)] != nullptr; };
    const std::int64_t n_queries = spec.queries.n_rows();
    const bool is_few = n_queries <= kWideQueries && limit != kNoLimit &&
                        n_queries * limit <= std::max(kNibbleHits, n_rows / kRowsPerNibbleHit);
    for (const CodeKind kind : {is_few ? CodeKind::int4 : CodeKind::prefix, CodeKind::prefix, CodeKind::int8}) {
        if (has(kind)) return kind;
    }
    return CodeKind::int4;
}

}  // namespace

int chunk_rows_for(std::size_t words_per_row) {
    const std::size_t rows = kChunkBytes / (4 * std::max<std::size_t>(words_per_row, 1));
    return static_cast<int>(std::clamp<std::size_t>(rows / kChunkStep * kChunkStep, kChunkStep, 1008));
}

const char* describe(const Plan& plan) {
    if (plan.code_digits == 0) return plan.has_float_stage ? "float32" : "canonical";
    if (plan.reads_codes) return plan.has_float_stage ? "codes, float32" : "codes";
    constexpr const char* kNames[kCodeKinds][2] = {
        {"int8", "int8, float32"}, {"prefix", "prefix, float32"}, {"int4", "int4, float32"}};
    return kNames[static_cast<int>(plan.code_kind)][plan.has_float_stage ? 1 : 0];
}

Plan make_plan(const SearchSpec& spec, const Execution& execution, std::int64_t n_rows) {
    const std::int64_t n_queries = spec.queries.n_rows();
    const auto n_cols = static_cast<std::int64_t>(spec.queries.n_cols());
    const std::int64_t limit = spec.limit == kNoLimit ? kNoLimit : std::min(spec.limit, n_rows);
    const bool keeps_most = limit != kNoLimit && 4 * limit >= n_rows;
    const std::size_t words = words_per_row(spec.metric, spec.queries.n_cols());

    Plan plan{};
    plan.reads_codes = reads_codes(spec, n_rows, limit);
    plan.code_digits = plan.reads_codes ? (n_queries <= kWideQueries ? 2 : 1) : code_digits(spec, n_rows, limit);
    plan.code_kind = code_kind(spec, n_rows, limit);
    const std::int64_t scan_queries = is_bits(spec.metric) ? kBitScanQueries : kScanQueries;
    plan.has_float_stage = spec.may_use_float && n_queries > scan_queries && !keeps_most &&
                           FloatStage::exists(spec.metric, spec.queries.dtype(), spec.corpus.dtype(), n_cols);
    plan.float_rows = chunk_rows_for(words);
    if (plan.code_digits > 0) {
        plan.chunk_rows = spec.codes != nullptr ? spec.codes->chunk_rows : chunk_rows_for((words + 3) / 4);
    } else {
        plan.chunk_rows = plan.has_float_stage ? plan.float_rows : std::max(plan.float_rows, kScanRows);
    }
    plan.float_rows = std::min(plan.float_rows, plan.chunk_rows);
    plan.score_lanes = plan.code_digits == 1 ? spec.table.code_queries : kernel::kTileQueries;
    const bool has_stage = plan.code_digits > 0 || plan.has_float_stage;
    plan.sample_rows = has_stage ? sample_rows(limit, n_rows, plan.code_kind) : 0;
    plan.key_capacity = has_stage ? key_capacity(limit) : 0;
    plan.settle_keys = has_stage ? settle_keys(limit) : 0;

    const double work = static_cast<double>(n_queries) * static_cast<double>(n_rows) * static_cast<double>(words);
    const std::size_t hit_bytes = sizeof(Hit) * static_cast<std::size_t>(limit == kNoLimit ? 64 : limit);
    const std::size_t key_bytes = plan.key_capacity * sizeof(core::Key);
    const std::size_t per_query = key_bytes + 2 * hit_bytes +
                                  Scorer::bytes_per_query(spec.metric, spec.queries.n_cols()) + 6 * words;
    const auto fitting = static_cast<std::int64_t>(kBatchBytes / per_query / kBlockRows * kBlockRows);
    plan.grid.n_queries = n_queries;
    plan.grid.n_chunks = plan.code_digits > 0 && spec.codes != nullptr
                             ? static_cast<std::int64_t>(spec.codes->n_panels)
                             : (n_rows + plan.chunk_rows - 1) / plan.chunk_rows;
    // Stages need a fraction of a canonical scan's time: fewer threads are worth waking.
    plan.grid.workers = runtime::worker_count(execution, plan.code_digits > 0 ? work / 4 : work);
    const std::int64_t wanted = std::min(kMaxBatch, (n_queries + kBlockRows - 1) / kBlockRows * kBlockRows);
    plan.grid.batch_queries = std::max<std::int64_t>(std::min(fitting, wanted), kBlockRows);
    // Queries that change to the float32 stage need room for its candidates too.
    const std::size_t fallback = plan.code_digits > 0 && plan.has_float_stage ? key_bytes : 0;
    std::uint64_t per_worker = static_cast<std::uint64_t>(std::min(plan.grid.batch_queries, n_queries)) * (per_query + fallback) +
                               PanelBuffer::bytes(words * kBlockRows, plan.float_rows);
    if (plan.code_digits > 0 && spec.codes == nullptr) {
        const std::size_t sums = static_cast<std::size_t>(plan.code_digits * n_queries) * kBlockRows;
        per_worker += PanelBuffer::bytes(plan.reads_codes ? sums : CodePacker::block_words(spec.queries.n_cols()), plan.chunk_rows);
    }
    require_memory(per_worker * static_cast<std::uint64_t>(plan.grid.workers), "search: workspace");
    return plan;
}

}  // namespace embmath::engine
