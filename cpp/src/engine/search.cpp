#include "engine/search.hpp"

#include <algorithm>
#include <memory>

#include "engine/batch_search.hpp"
#include "engine/grid.hpp"
#include "engine/plan.hpp"

namespace embmath::engine {

namespace {

constexpr std::int64_t kSegmentRows = std::int64_t{1} << 31;

// A batch with all its segments: what the sweep sees.
class SearchBatch {
public:
    using State = BatchSearch::State;

    SearchBatch(const SearchSpec& spec, const Plan& plan, Segment segment, std::int64_t first, int count,
                std::vector<HitList>& carried, const HitSink* sink)
        : carried_(carried), first_(first), sink_(sink), search_(spec, plan, segment, first, count, carried.data() + first) {}

    int n_queries() const { return search_.n_queries(); }
    std::unique_ptr<State> make_state() const { return search_.make_state(); }
    void scan(State& state, runtime::Worker& worker, std::int64_t chunk) { search_.scan(state, worker, chunk); }
    void finish(int query, std::vector<std::unique_ptr<State>>& states) {
        search_.finish(query, states);
        if (sink_ == nullptr) return;
        HitList& hits = carried_[static_cast<std::size_t>(first_ + query)];
        (*sink_)(first_ + query, hits.sort());
        hits = HitList();
    }

private:
    std::vector<HitList>& carried_;
    std::int64_t first_;
    const HitSink* sink_;
    BatchSearch search_;
};

}  // namespace

void search(const SearchSpec& spec, const Execution& execution, const HitSink& sink) {
    const std::int64_t n_queries = spec.queries.n_rows();
    const std::int64_t n_rows = spec.corpus.n_rows();
    std::vector<HitList> carried(static_cast<std::size_t>(n_queries));
    for (HitList& hits : carried) hits.reset(spec.limit, spec.floor);
    for (std::int64_t base = 0; base < n_rows; base += kSegmentRows) {
        const Segment segment{base, std::min(kSegmentRows, n_rows - base)};
        const bool is_last = base + segment.n_rows == n_rows;
        const Plan plan = make_plan(spec, execution, segment.n_rows);
        sweep(plan.grid, execution, [&](std::int64_t batch) {
            const std::int64_t first = batch * plan.grid.batch_queries;
            const auto count = static_cast<int>(std::min(plan.grid.batch_queries, n_queries - first));
            return std::make_unique<SearchBatch>(spec, plan, segment, first, count, carried, is_last ? &sink : nullptr);
        });
    }
    if (n_rows == 0) {
        for (std::int64_t query = 0; query < n_queries; ++query) sink(query, carried[static_cast<std::size_t>(query)].sort());
    }
}

}  // namespace embmath::engine
