#include "engine/batch_search.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/code_stage.hpp"
#include "engine/decoded_stage.hpp"
#include "engine/float_stage.hpp"
#include "engine/prefix_stage.hpp"

namespace embmath::engine {

namespace {

// Rows whose best bounds give the first threshold: enough that most rows fall below it afterwards.
constexpr std::int64_t kWarmRows = 192;

// A prefix that leaves more than an eighth of the rows, and more than these, says too little.
constexpr std::int64_t kRefinedRows = 16384;

}  // namespace

BatchSearch::BatchSearch(const SearchSpec& spec, const Plan& plan, Segment segment, std::int64_t first, int count,
                         HitList* carried)
    : spec_(spec),
      plan_(plan),
      segment_(segment),
      first_(first),
      count_(count),
      carried_(carried),
      scorer_(spec.table, spec.metric, spec.queries, first, count, spec.corpus.dtype()),
      taus_(static_cast<std::size_t>(count)),
      turns_(static_cast<std::size_t>(count)),
      seeds_(static_cast<std::size_t>(count)) {
    const core::BoundScales scales = bound_scales();
    if (plan.code_digits > 0) {
        const int kind = static_cast<int>(plan.code_kind);
        if (plan.reads_codes) {
            const int digits = plan.code_digits == 1 ? 1 : DecodedStage::digits_for(spec.table, spec.queries, first, count, spec.corpus);
            stages_[kCodes] = std::make_unique<DecodedStage>(spec.table, spec.metric, spec.queries, first, count, digits, spec.corpus, scales);
        } else if (plan.code_kind == CodeKind::int8) {
            stages_[kCodes] = std::make_unique<CodeStage>(spec.table, spec.metric, spec.queries, first, count, plan.code_digits, scales);
        } else {
            stages_[kCodes] = std::make_unique<PrefixStage>(spec.table, spec.metric, spec.queries, first, count, plan.code_digits,
                                                            *spec.codes->rotation, *spec.codes->planes[kind], scales);
        }
    }
    if (plan.has_float_stage) {
        stages_[kFloat] = std::make_unique<FloatStage>(spec.table, spec.metric, spec.queries, first, count, scorer_, scales);
    }
    for (int query = 0; query < count; ++query) taus_[static_cast<std::size_t>(query)] = carried[query].tau();
}

Level BatchSearch::first_level() const {
    return stages_[kCodes] ? kCodes : stages_[kFloat] ? kFloat : kCanonical;
}

Level BatchSearch::wider(Level level) const {
    return level == kCodes && stages_[kFloat] ? kFloat : level == kCodes ? kCanonical : level;
}

std::unique_ptr<BatchState> BatchSearch::make_state() const {
    auto state = std::make_unique<BatchState>(spec_);
    const auto count = static_cast<std::size_t>(count_);
    state->hits.resize(count);
    for (HitList& hits : state->hits) hits.reset(spec_.limit, spec_.floor);
    state->scratch = runtime::AlignedArray<std::byte>(spec_.corpus.scratch_bytes(Scorer::kGroup));
    state->rows.ids.reserve(static_cast<std::size_t>(plan_.chunk_rows));
    state->levels.assign(count, first_level());
    state->next_levels = state->levels;
    state->wasted.assign(count, 0);
    state->refined.assign(count, 0);
    state->scores = runtime::AlignedArray<std::uint32_t>(static_cast<std::size_t>(plan_.score_lanes * plan_.chunk_rows));
    return state;
}

// A worker's memory for a stage, taken when the first query reaches it.
StageLane& BatchSearch::lane(BatchState& state, Level level) const {
    StageLane& lane = state.lanes[level];
    if (!lane.counts.empty()) return lane;
    const auto count = static_cast<std::size_t>(count_);
    lane.keys = runtime::AlignedArray<core::Key>(count * plan_.key_capacity);
    lane.counts.assign(count, 0);
    lane.gates.resize(count);
    lane.settle_at.assign(count, plan_.settle_keys);
    lane.gate_taus.assign(count, std::nan(""));
    if (level == kFloat || spec_.codes == nullptr) {
        lane.buffer.emplace(spec_.corpus, stages_[level]->packer(spec_.corpus), level == kFloat ? plan_.float_rows : plan_.chunk_rows);
    }
    return lane;
}

// Behind this many equal rows directly before it, a row cannot be among any query's best: ties go to
// the lowest index. Repeated rows (a zero tail, say) would otherwise all tie and all be verified.
RunLimit BatchSearch::run_limit(std::int64_t first_row) const {
    RunLimit run{0, kNoLimit};
    if (spec_.limit == kNoLimit || spec_.permission.mask != nullptr) return run;
    if (!spec_.ids_ascend || (spec_.codes != nullptr && !spec_.codes->knows_copies)) return run;
    const std::int64_t enough = spec_.limit + (spec_.permission.exclude_self ? 1 : 0);
    if (enough > plan_.chunk_rows) return run;  // looking back would cost more than it saves
    run.enough = enough;
    while (run.copies < run.enough && spec_.corpus.repeats_previous(first_row - run.copies)) ++run.copies;
    return run;
}

void BatchSearch::collect_ids(BatchState& state, std::int64_t chunk) const {
    state.rows.ids.clear();
    const std::int64_t begin = chunk * plan_.chunk_rows;
    const std::int64_t end = std::min(begin + plan_.chunk_rows, segment_.n_rows);
    const std::uint8_t* mask = spec_.permission.is_shared() ? spec_.permission.mask + segment_.base : nullptr;
    if (mask == nullptr) {
        state.rows.ids.resize(static_cast<std::size_t>(end - begin));
        std::iota(state.rows.ids.begin(), state.rows.ids.end(), static_cast<std::uint32_t>(begin));
        return;
    }
    for (std::int64_t row = begin; row < end; ++row) {
        if (mask[row] != 0) state.rows.ids.push_back(static_cast<std::uint32_t>(row));
    }
}

// A panel of the index, less the rows that the shared mask or a run of copies excludes.
Panel BatchSearch::stored_panel(std::int64_t chunk, PanelRows& rows) const {
    Panel panel = spec_.codes->panels[static_cast<int>(plan_.code_kind)][chunk];
    const RunLimit run = run_limit(0);
    const std::uint8_t* mask = spec_.permission.is_shared() ? spec_.permission.mask : nullptr;
    rows.ids.clear();
    rows.valid.assign(panel.valid, panel.valid + panel.n_blocks());
    for (int row = 0; row < panel.n_rows; ++row) {
        const std::uint32_t id = panel.ids[row];
        const bool is_valid = (mask == nullptr || mask[id] != 0) && !(run.enough != kNoLimit && panel.copies[row] >= run.enough);
        if (is_valid) {
            rows.ids.push_back(id);
        } else {
            rows.valid[static_cast<std::size_t>(row / kBlockRows)] &= static_cast<std::uint16_t>(~(1u << row % kBlockRows));
        }
    }
    panel.valid = rows.valid.data();
    return panel;
}

void BatchSearch::scan(BatchState& state, runtime::Worker& worker, std::int64_t chunk) {
    worker.checkpoint();
    const bool is_stored = stages_[kCodes] && spec_.codes != nullptr;
    Panel panel{};
    if (is_stored) {
        panel = stored_panel(chunk, state.rows);
    } else {
        collect_ids(state, chunk);
    }
    if (state.rows.ids.empty()) return;
    const auto is_wanted = [&](Level level) {
        return std::find(state.levels.begin(), state.levels.end(), level) != state.levels.end();
    };
    state.rows_seen += static_cast<std::int64_t>(state.rows.ids.size());
    if (is_wanted(kCodes)) {
        StageLane& codes = lane(state, kCodes);
        if (!is_stored) {
            const Stopwatch watch(spec_.stats != nullptr, codes.stats.pack_seconds);
            codes.buffer->fill(state.rows.ids.data(), static_cast<int>(state.rows.ids.size()), segment_.base,
                               run_limit(segment_.base + state.rows.ids.front()));
            panel = codes.buffer->view();
        }
        scan_panel(state, worker, kCodes, panel);
    }
    if (is_wanted(kFloat)) scan_float(state, worker);
    if (is_wanted(kCanonical)) scan_rows(state, worker);
    state.levels = state.next_levels;
}

void BatchSearch::scan_float(BatchState& state, runtime::Worker& worker) {
    StageLane& lane = this->lane(state, kFloat);
    const auto n_ids = static_cast<int>(state.rows.ids.size());
    for (int first = 0; first < n_ids; first += plan_.float_rows) {
        {
            const Stopwatch watch(spec_.stats != nullptr, lane.stats.pack_seconds);
            const std::uint32_t* ids = state.rows.ids.data() + first;
            lane.buffer->fill(ids, std::min(plan_.float_rows, n_ids - first), segment_.base, run_limit(segment_.base + ids[0]));
        }
        scan_panel(state, worker, kFloat, lane.buffer->view());
    }
}

void BatchSearch::scan_panel(BatchState& state, runtime::Worker& worker, Level level, const Panel& panel) {
    const Stage& stage = *stages_[level];
    StageLane& lane = state.lanes[level];
    const Stopwatch watch(spec_.stats != nullptr, lane.stats.tile_seconds);
    const auto is_here = [&](int query) { return state.levels[static_cast<std::size_t>(query)] == level; };
    for (int first = 0, n = 1; first < count_; first += n) {
        const int group_end = std::min(first / stage.group() * stage.group() + stage.group(), count_);
        n = 1;
        if (!is_here(first) && level == kFloat) continue;
        // The widest stage takes just the runs of queries that have come to it.
        while (first + n < group_end && (level == kCodes || is_here(first + n))) ++n;
        const auto begin = state.levels.begin() + first;
        if (std::find(begin, begin + n, level) == begin + n) continue;
        worker.checkpoint();
        stage.sums(panel, first, n, first == 0 && spec_.codes != nullptr, state.scores.data(), static_cast<std::size_t>(plan_.chunk_rows));
        lane.stats.bytes += static_cast<std::int64_t>(panel.n_blocks()) * static_cast<std::int64_t>(stage.block_bytes(panel));
        for (int i = 0; i < n; ++i) {
            if (is_here(first + i) && !scorer_.is_nan(first + i)) filter(state, level, panel, first + i, i);
        }
    }
}

Stage::Exclusion BatchSearch::exclusion(int query) const {
    Stage::Exclusion exclusion;
    const std::int64_t self = spec_.permission.self(first_ + query) - segment_.base;
    if (self >= 0 && self < segment_.n_rows) exclusion.id = static_cast<std::uint32_t>(self);
    if (const std::uint8_t* mask = spec_.permission.own_mask(first_ + query)) exclusion.allowed = mask + segment_.base;
    return exclusion;
}

void BatchSearch::filter(BatchState& state, Level level, const Panel& panel, int query, int slot) {
    StageLane& lane = state.lanes[level];
    const auto q = static_cast<std::size_t>(query);
    const Stage::Exclusion exclusion = this->exclusion(query);
    const auto warm = static_cast<std::size_t>(std::max(kWarmRows, 4 * std::min<std::int64_t>(spec_.limit, 1 << 20)));
    core::Key* keys = lane.keys.data() + q * plan_.key_capacity;
    std::size_t& count = lane.counts[q];
    lane.stats.pairs += panel.n_rows;
    for (int block = 0; block < panel.n_blocks();) {
        const core::Gate& gate = refresh(lane, level, panel, query);
        const bool is_cold = std::isinf(gate.threshold) && gate.threshold < 0;
        // Every row of a block may survive: no more blocks at a time than there is room for.
        const auto room = static_cast<int>((plan_.key_capacity - count) / kBlockRows);
        int last = std::min(panel.n_blocks(), block + room);
        if (is_cold && count < warm) last = std::min(last, block + blocks_of(static_cast<int>(warm - count)));
        const auto ld = static_cast<std::size_t>(plan_.chunk_rows);
        const Stage& stage = *stages_[level];
        std::size_t kept = stage.select(panel, block, last, slot, state.scores.data(), ld, gate, exclusion, keys + count);
        if (panel.longer.codes != nullptr) {
            lane.stats.refined += static_cast<std::int64_t>(kept);
            state.refined[q] += static_cast<std::int64_t>(kept);
            if (state.refined[q] > kRefinedRows + state.rows_seen / 8) state.next_levels[q] = wider(level);
        }
        kept = stage.refine(panel, query, slot, state.scores.data(), ld, gate, keys + count, kept);
        count += kept;
        lane.stats.survivors += static_cast<std::int64_t>(kept);
        block = last;
        if (count >= lane.settle_at[q] || (is_cold && count >= warm)) settle(state, level, query);
    }
}

const core::Gate& BatchSearch::refresh(StageLane& lane, Level level, const Panel& panel, int query) const {
    const auto q = static_cast<std::size_t>(query);
    const double tau = this->tau(query);
    if (lane.gate_taus[q] != tau) {
        lane.gates[q] = stages_[level]->gate(query, tau, panel);
        lane.gate_taus[q] = tau;
    }
    return lane.gates[q];
}

void BatchSearch::scan_rows(BatchState& state, runtime::Worker& worker) {
    const Stopwatch watch(spec_.stats != nullptr, state.scanned.tile_seconds);
    const auto n_ids = static_cast<int>(state.rows.ids.size());
    // Looking at the clock takes as long as scoring a dozen rows of bits.
    constexpr std::size_t kPause = std::size_t{1} << 16;
    const std::size_t group_work = Scorer::kGroup * static_cast<std::size_t>(count_) * spec_.corpus.n_cols();
    std::size_t work = 0;
    for (int first = 0; first < n_ids; first += Scorer::kGroup) {
        if (work >= kPause) {
            worker.checkpoint();
            work = 0;
        }
        work += group_work;
        const int n = std::min(Scorer::kGroup, n_ids - first);
        std::int64_t rows[Scorer::kGroup];
        const void* data[Scorer::kGroup];
        for (int i = 0; i < n; ++i) rows[i] = segment_.base + state.rows.ids[static_cast<std::size_t>(first + i)];
        spec_.corpus.rows(rows, n, state.scratch.data(), data);
        const void* ahead[Scorer::kGroup];
        for (int i = 0; i < n; ++i) ahead[i] = static_cast<const std::byte*>(data[i]) + kScanAhead;
        const void* const* next = ahead;  // only the first query finds rows that are not in cache
        for (int query = 0; query < count_; ++query) {
            const auto q = static_cast<std::size_t>(query);
            if (state.levels[q] != kCanonical || scorer_.is_nan(query)) continue;
            add_hits(query, rows, data, next, n, state.hits[q]);
            state.scanned.pairs += n;
            next = nullptr;
        }
    }
}

}  // namespace embmath::engine
