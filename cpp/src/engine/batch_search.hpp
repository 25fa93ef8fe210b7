// One batch of queries against the corpus: filter chunk by chunk, verify what survives.
//
// A query starts with the narrowest stage of the plan. Its threshold comes from canonical scores
// only: the best bounds of its first rows are verified, and whenever its buffer of candidates fills,
// those are, best bound first, until no bound reaches the threshold. A query for which that reads too
// many rows in vain (ties, or codes that fit badly) hands over to the next wider stage for good.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/batch_state.hpp"
#include "engine/hits.hpp"
#include "engine/plan.hpp"
#include "engine/scorer.hpp"
#include "engine/search.hpp"
#include "engine/stage.hpp"
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

    using State = BatchState;

    int n_queries() const { return count_; }
    void prepare(const Execution& execution, int workers);
    std::unique_ptr<State> make_state() const;
    void scan(State& state, runtime::Worker& worker, std::int64_t chunk);
    void finish(int query, std::vector<std::unique_ptr<State>>& states);

private:
    struct Verified {
        std::int64_t rows, hits;
        std::size_t left;
    };

    Level first_level() const;
    Level wider(Level level) const;
    StageLane& lane(State& state, Level level) const;
    RunLimit run_limit(std::int64_t first_row) const;
    void collect_ids(State& state, std::int64_t chunk) const;
    Panel stored_panel(std::int64_t chunk, PanelRows& rows) const;
    std::vector<Panel> sample(Level level, std::int64_t n_sample, std::vector<PanelBuffer>& buffers,
                              std::vector<PanelRows>& rows) const;
    Stage::Exclusion exclusion(int query) const;
    void scan_panel(State& state, runtime::Worker& worker, Level level, const Panel& panel);
    void scan_float(State& state, runtime::Worker& worker);
    void scan_rows(State& state, runtime::Worker& worker);
    void filter(State& state, Level level, const Panel& panel, int query, int slot);
    const core::Gate& refresh(StageLane& lane, Level level, const Panel& panel, int query) const;
    void settle(State& state, Level level, int query);
    Verified verify(Level level, core::Key* keys, std::size_t count, std::size_t budget, std::size_t keep, int query,
                    HitList& hits, std::byte* scratch);
    int add_hits(int query, const std::int64_t* rows, const void* const* data, const void* const* next, int n,
                 HitList& hits) const;
    void raise(int query, double tau);
    double tau(int query) const { return taus_[static_cast<std::size_t>(query)].load(std::memory_order_relaxed); }

    const SearchSpec& spec_;
    const Plan& plan_;
    Segment segment_;
    std::int64_t first_;
    int count_;
    HitList* carried_;
    Scorer scorer_;
    std::unique_ptr<Stage> stages_[2];        // by Level; null where the plan has none
    std::vector<std::atomic<double>> taus_;   // proven by canonical scores; shared, only ever raised
    std::vector<std::mutex> turns_;           // per query: who may add to carried_
    std::vector<std::vector<std::int64_t>> seeds_;  // per query: ids that carried_ has had before the scan, ascending
};

}  // namespace embmath::engine
