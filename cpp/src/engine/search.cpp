#include "engine/search.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

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
    void prepare(const Execution& execution, int workers) { search_.prepare(execution, workers); }
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

void run(const SearchSpec& spec, const Execution& execution, const HitSink& sink) {
    const std::int64_t n_queries = spec.queries.n_rows();
    const std::int64_t n_rows = spec.corpus.n_rows();
    std::vector<HitList> carried(static_cast<std::size_t>(n_queries));
    for (HitList& hits : carried) hits.reset(spec.limit, spec.floor);
    for (std::int64_t base = 0; base < n_rows; base += kSegmentRows) {
        const Segment segment{base, std::min(kSegmentRows, n_rows - base)};
        const bool is_last = base + segment.n_rows == n_rows;
        const Plan plan = make_plan(spec, execution, segment.n_rows);
        if (spec.stats != nullptr) spec.stats->set_plan(describe(plan));
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

bool is_verifying() {
    const char* value = std::getenv("EMBMATH_VERIFY");
    return value != nullptr && *value != '\0' && std::string_view(value) != "0";
}

bool are_same(const std::vector<Hit>& a, const std::vector<Hit>& b) {
    const auto same = [](const Hit& x, const Hit& y) { return x.score == y.score && x.row == y.row; };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

// The same search without any stage: every row scored canonically.
void run_checked(const SearchSpec& spec, const Execution& execution, const HitSink& sink) {
    std::vector<std::vector<Hit>> found(static_cast<std::size_t>(spec.queries.n_rows()));
    run(spec, execution, [&](std::int64_t query, std::vector<Hit>& hits) { found[static_cast<std::size_t>(query)] = std::move(hits); });
    SearchSpec plain = spec;
    plain.may_use_codes = plain.may_use_float = false;
    plain.stats = nullptr;
    run(plain, execution, [&](std::int64_t query, std::vector<Hit>& hits) {
        std::vector<Hit>& own = found[static_cast<std::size_t>(query)];
        if (!are_same(own, hits)) {
            throw std::logic_error("EMBMATH_VERIFY: query " + std::to_string(query) +
                                   " differs from the canonical scan; please report this as a bug");
        }
        sink(query, own);
    });
}

std::atomic<double> g_rounding{1.0}, g_residual{1.0}, g_query{1.0};

}  // namespace

void search(const SearchSpec& spec, const Execution& execution, const HitSink& sink) {
    if (is_verifying()) {
        run_checked(spec, execution, sink);
    } else {
        run(spec, execution, sink);
    }
}

void set_bound_scales(const core::BoundScales& scales) {
    g_rounding = scales.rounding;
    g_residual = scales.residual;
    g_query = scales.query;
}

core::BoundScales bound_scales() { return {g_rounding, g_residual, g_query}; }

}  // namespace embmath::engine
