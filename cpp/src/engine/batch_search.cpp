#include "engine/batch_search.hpp"

#include <algorithm>
#include <cmath>

namespace embmath::engine {

namespace {

constexpr int kTileQueries = kernel::kTileQueries;
constexpr std::uint32_t kNoRow = 0xffffffffu;

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
      thresholds_(static_cast<std::size_t>(count)) {
    if (!plan.has_tile_stage) return;
    stage_.emplace(spec.table, spec.metric, spec.queries, first, count, scorer_);
    for (int query = 0; query < count; ++query) {
        thresholds_[static_cast<std::size_t>(query)] = stage_->threshold(query, carried[query].tau());
    }
}

std::unique_ptr<BatchSearch::State> BatchSearch::make_state() const {
    auto state = std::make_unique<State>();
    const auto count = static_cast<std::size_t>(count_);
    state->hits.resize(count);
    for (HitList& hits : state->hits) hits.reset(spec_.limit, spec_.floor);
    state->scratch = runtime::AlignedArray<std::byte>(spec_.corpus.scratch_bytes(Scorer::kGroup));
    state->ids.reserve(static_cast<std::size_t>(plan_.chunk_rows));
    if (stage_) {
        state->panel.emplace(spec_.table, spec_.corpus, spec_.metric, plan_.chunk_rows);
        state->scores = runtime::AlignedArray<float>(static_cast<std::size_t>(kTileQueries * plan_.chunk_rows));
        state->keys = runtime::AlignedArray<core::Key>(count * plan_.key_capacity);
        state->counts.assign(count, 0);
    }
    return state;
}

// Behind this many equal rows directly before it, a row cannot be among any query's best: ties go to
// the lowest index. Repeated rows (a zero tail, say) would otherwise all tie and all be verified.
RunLimit BatchSearch::run_limit(std::int64_t first_row) const {
    RunLimit run{0, kNoLimit};
    if (spec_.limit == kNoLimit || spec_.permission.mask != nullptr) return run;
    const std::int64_t enough = spec_.limit + (spec_.permission.exclude_self ? 1 : 0);
    if (enough > plan_.chunk_rows) return run;  // looking back would cost more than it saves
    run.enough = enough;
    while (run.copies < run.enough && spec_.corpus.repeats_previous(first_row - run.copies)) ++run.copies;
    return run;
}

void BatchSearch::collect_ids(State& state, std::int64_t chunk) const {
    state.ids.clear();
    const std::int64_t begin = chunk * plan_.chunk_rows;
    const std::int64_t end = std::min(begin + plan_.chunk_rows, segment_.n_rows);
    const std::uint8_t* mask = spec_.permission.is_shared() ? spec_.permission.mask + segment_.base : nullptr;
    for (std::int64_t row = begin; row < end; ++row) {
        if (mask == nullptr || mask[row] != 0) state.ids.push_back(static_cast<std::uint32_t>(row));
    }
}

void BatchSearch::scan(State& state, runtime::Worker& worker, std::int64_t chunk) {
    worker.checkpoint();
    collect_ids(state, chunk);
    if (state.ids.empty()) return;
    if (stage_) {
        scan_tiles(state, worker);
    } else {
        scan_rows(state, worker);
    }
}

void BatchSearch::scan_tiles(State& state, runtime::Worker& worker) {
    stage_->fill(*state.panel, state.ids, segment_.base, run_limit(segment_.base + state.ids.front()));
    const auto ld = static_cast<std::size_t>(plan_.chunk_rows);
    for (int first = 0; first < count_; first += kTileQueries) {
        worker.checkpoint();
        const int n = std::min(kTileQueries, count_ - first);
        stage_->sums(*state.panel, first, n, state.scores.data(), ld);
        for (int i = 0; i < n; ++i) {
            const int query = first + i;
            if (scorer_.is_nan(query)) continue;
            const std::int64_t self = first_ + query - segment_.base;
            const bool has_self = spec_.permission.exclude_self && self >= 0 && self < segment_.n_rows;
            const std::uint8_t* mask = spec_.permission.own_mask(first_ + query);
            const auto q = static_cast<std::size_t>(query);
            core::Key* keys = state.keys.data() + q * plan_.key_capacity;
            state.counts[q] += stage_->select(*state.panel, query, state.scores.data() + static_cast<std::size_t>(i) * ld,
                                              threshold(query), mask == nullptr ? nullptr : mask + segment_.base,
                                              has_self ? static_cast<std::uint32_t>(self) : kNoRow, keys + state.counts[q]);
            if (state.counts[q] + ld > plan_.key_capacity) compact(state, query);
        }
    }
}

void BatchSearch::scan_rows(State& state, runtime::Worker& worker) const {
    const auto n_ids = static_cast<int>(state.ids.size());
    for (int first = 0; first < n_ids; first += Scorer::kGroup) {
        worker.checkpoint();
        const int n = std::min(Scorer::kGroup, n_ids - first);
        std::int64_t rows[Scorer::kGroup];
        const void* data[Scorer::kGroup];
        for (int i = 0; i < n; ++i) rows[i] = segment_.base + state.ids[static_cast<std::size_t>(first + i)];
        spec_.corpus.rows(rows, n, state.scratch.data(), data);
        for (int query = 0; query < count_; ++query) {
            if (scorer_.is_nan(query)) continue;
            add_hits(query, rows, data, n, query == 0, state.hits[static_cast<std::size_t>(query)]);
        }
    }
}

void BatchSearch::add_hits(int query, const std::int64_t* rows, const void* const* data, int n, bool is_scan,
                           HitList& hits) const {
    double scores[Scorer::kGroup];
    scorer_.scores(query, data, n, is_scan, scores);
    for (int i = 0; i < n; ++i) {
        if (scores[i] >= hits.tau() && spec_.permission.allows(first_ + query, rows[i])) hits.add({scores[i], rows[i]});
    }
}

void BatchSearch::raise(int query, float threshold) {
    std::atomic<float>& shared = thresholds_[static_cast<std::size_t>(query)];
    float current = shared.load(std::memory_order_relaxed);
    while (current < threshold && !shared.compare_exchange_weak(current, threshold, std::memory_order_relaxed)) {
    }
}

// The k best upper bounds, each less the width of its error, prove a threshold without reading a
// single row again. Bounds of +inf (rows without one) prove nothing and are set aside. Returns how
// many keys are left.
std::size_t BatchSearch::discard_by_bounds(core::Key* keys, std::size_t count, int query, float max_add) {
    core::Key* end = keys + count;
    core::Key* proving = std::partition(keys, end, [](core::Key key) { return std::isinf(core::key_score(key)); });
    if (end - proving > spec_.limit) {
        core::Key* last = proving + (spec_.limit - 1);
        std::nth_element(proving, last, end, std::greater<>());
        raise(query, stage_->proven_threshold(query, core::key_score(*last), max_add));
    }
    const float threshold = this->threshold(query);
    end = std::remove_if(proving, end, [threshold](core::Key key) { return core::key_score(key) < threshold; });
    return static_cast<std::size_t>(end - keys);
}

void BatchSearch::compact(State& state, int query) {
    const auto q = static_cast<std::size_t>(query);
    core::Key* keys = state.keys.data() + q * plan_.key_capacity;
    state.counts[q] = discard_by_bounds(keys, state.counts[q], query, state.panel->max_add);
    const std::size_t room = plan_.key_capacity - static_cast<std::size_t>(plan_.chunk_rows);
    if (2 * state.counts[q] <= room) return;
    // Ties, or bounds too wide to tell: only the canonical scores can.
    verify(keys, state.counts[q], query, state.hits[q], state.scratch.data());
    state.counts[q] = 0;
    raise(query, stage_->threshold(query, state.hits[q].tau()));
}

void BatchSearch::verify(core::Key* keys, std::size_t count, int query, HitList& hits, std::byte* scratch) const {
    std::sort(keys, keys + count, std::greater<>());
    constexpr std::size_t kTogether = 4;  // as many as a kernel overlaps; the last few may be for nothing
    for (std::size_t first = 0; first < count; first += kTogether) {
        if (core::key_score(keys[first]) < stage_->threshold(query, hits.tau())) break;
        const int n = static_cast<int>(std::min(kTogether, count - first));
        std::int64_t rows[kTogether];
        const void* data[kTogether];
        for (int i = 0; i < n; ++i) rows[i] = segment_.base + core::key_row(keys[first + static_cast<std::size_t>(i)]);
        spec_.corpus.rows(rows, n, scratch, data);
        add_hits(query, rows, data, n, false, hits);
    }
}

void BatchSearch::finish(int query, std::vector<std::unique_ptr<State>>& states) {
    HitList& hits = carried_[query];
    std::vector<core::Key> keys;
    float max_add = 0.0F;
    const auto q = static_cast<std::size_t>(query);
    for (auto& state : states) {
        hits.add_all(state->hits[q]);
        if (!stage_) continue;
        const core::Key* begin = state->keys.data() + q * plan_.key_capacity;
        keys.insert(keys.end(), begin, begin + state->counts[q]);
        max_add = std::max(max_add, state->panel->max_add);
    }
    if (keys.empty()) return;
    const std::size_t left = discard_by_bounds(keys.data(), keys.size(), query, max_add);
    runtime::AlignedArray<std::byte> scratch(spec_.corpus.scratch_bytes(Scorer::kGroup));
    verify(keys.data(), left, query, hits, scratch.data());
}

}  // namespace embmath::engine
