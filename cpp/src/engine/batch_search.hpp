// One batch of queries against the corpus: filter chunk by chunk, then verify.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "engine/hits.hpp"
#include "engine/plan.hpp"
#include "engine/scorer.hpp"
#include "engine/search.hpp"
#include "engine/tile_stage.hpp"
#include "runtime/parallel.hpp"

namespace embmath::engine {

// Corpus rows [base, base + n_rows), few enough for 32-bit relative ids.
struct Segment {
    std::int64_t base;
    std::int64_t n_rows;
};

class BatchSearch {
public:
    // Queries [first, first + count). `carried` holds the hits of earlier segments, query by query,
    // and receives those of this one.
    BatchSearch(const SearchSpec& spec, const Plan& plan, Segment segment, std::int64_t first, int count,
                HitList* carried);

    struct State {
        std::optional<Panel> panel;
        std::vector<std::uint32_t> ids;             // rows of the chunk that may be returned
        runtime::AlignedArray<float> scores;        // tile sums of 8 queries
        runtime::AlignedArray<core::Key> keys;      // [query][capacity]: upper bounds not yet discarded
        std::vector<std::size_t> counts;            // per query
        std::vector<HitList> hits;                  // per query: verified
        runtime::AlignedArray<std::byte> scratch;   // rows that had to be copied
    };

    int n_queries() const { return count_; }
    std::unique_ptr<State> make_state() const;
    void scan(State& state, runtime::Worker& worker, std::int64_t chunk);
    void finish(int query, std::vector<std::unique_ptr<State>>& states);

private:
    void collect_ids(State& state, std::int64_t chunk) const;
    RunLimit run_limit(std::int64_t first_row) const;
    void scan_tiles(State& state, runtime::Worker& worker);
    void scan_rows(State& state, runtime::Worker& worker) const;
    void add_hits(int query, const std::int64_t* rows, const void* const* data, int n, bool is_scan, HitList& hits) const;
    void compact(State& state, int query);
    std::size_t discard_by_bounds(core::Key* keys, std::size_t count, int query, float max_add);
    void verify(core::Key* keys, std::size_t count, int query, HitList& hits, std::byte* scratch) const;
    void raise(int query, float threshold);
    float threshold(int query) const {
        return thresholds_[static_cast<std::size_t>(query)].load(std::memory_order_relaxed);
    }

    const SearchSpec& spec_;
    const Plan& plan_;
    Segment segment_;
    std::int64_t first_;
    int count_;
    HitList* carried_;
    Scorer scorer_;
    std::optional<TileStage> stage_;
    std::vector<std::atomic<float>> thresholds_;  // shared by all workers; only ever raised
};

}  // namespace embmath::engine
