// From candidates to hits: canonical scores, best bound first.
#include <algorithm>

#include "engine/batch_search.hpp"
#include "engine/candidates.hpp"

namespace embmath::engine {

namespace {

// Rows that a query may verify in vain before it hands over: a 64th of those scanned costs about as
// much as the float32 stage would.
std::int64_t allowed_waste(std::int64_t limit, std::int64_t scanned) {
    return 256 + 8 * std::min<std::int64_t>(limit, 1 << 20) + scanned / 64;
}

}  // namespace

// Verifies a worker's candidates; too many in vain, and the query goes on with the next wider stage.
void BatchSearch::settle(BatchState& state, Level level, int query) {
    StageLane& lane = state.lanes[level];
    const auto q = static_cast<std::size_t>(query);
    // One list for all workers: each sees at once what the others have found. A worker that finds it
    // taken goes on while it has room.
    std::unique_lock turn(turns_[q], std::defer_lock);
    const bool is_shared = spec_.limit != kNoLimit;
    if (is_shared && !turn.try_lock()) {
        if (4 * lane.counts[q] < 3 * plan_.key_capacity) return;
        turn.lock();
    }
    const Stopwatch watch(spec_.stats != nullptr, state.verify_seconds);
    // Twice the limit proves a good threshold; what it leaves may fall below the next one, unverified.
    const auto budget = static_cast<std::size_t>(2 * std::min<std::int64_t>(spec_.limit, 1 << 20));
    const std::size_t keep = plan_.key_capacity / 4;
    const Verified done = verify(level, lane.keys.data() + q * plan_.key_capacity, lane.counts[q], budget, keep, query,
                                 is_shared ? carried_[query] : state.hits[q], state.scratch.data());
    lane.counts[q] = done.left;
    lane.settle_at[q] = std::min(done.left + plan_.settle_keys, plan_.key_capacity * 3 / 4);
    state.verified += done.rows;
    state.wasted[q] += done.rows - done.hits;
    if (state.wasted[q] > allowed_waste(spec_.limit, state.rows_seen)) state.next_levels[q] = wider(level);
}

// Best bound first, until no bound reaches the threshold that the hits prove; or, after `budget` rows,
// until no more than `keep` bounds do, which are left in front.
BatchSearch::Verified BatchSearch::verify(Level level, core::Key* keys, std::size_t count, std::size_t budget,
                                          std::size_t keep, int query, HitList& hits, std::byte* scratch) {
    const auto threshold = [&] { return stages_[level]->gate(query, tau(query), Panel{}).threshold; };
    Verified done{0, 0, 0};
    float least = threshold();
    Candidates candidates(keys, count, least);
    Group now, next;
    for (candidates.take(least, next); next.n > 0;) {
        now = next;
        candidates.take(least, next);
        const void *data[Group::kRows], *ahead[Group::kRows];
        std::int64_t rows[Group::kRows];
        for (int i = 0; i < now.n; ++i) rows[i] = segment_.base + core::key_row(now.keys[i]);
        spec_.corpus.rows(rows, now.n, scratch, data);
        // While these are scored the next ones travel; a threshold that rises meanwhile makes them vain.
        for (int i = 0; i < now.n; ++i) {
            const void* coming = i < next.n ? spec_.corpus.direct(segment_.base + core::key_row(next.keys[i])) : nullptr;
            ahead[i] = coming != nullptr ? coming : data[i];
        }
        done.hits += add_hits(query, rows, data, ahead, now.n, hits);
        done.rows += now.n;
        if (hits.tau() > tau(query)) {
            raise(query, hits.tau());
            least = threshold();
        }
        if (static_cast<std::size_t>(done.rows) < budget) continue;
        candidates.put_back(next);
        done.left = candidates.discard(least);
        if (done.left <= keep) return done;
        budget += std::max(budget, done.left - keep);
        candidates.take(least, next);
    }
    done.left = 0;
    return done;
}

int BatchSearch::add_hits(int query, const std::int64_t* rows, const void* const* data, const void* const* next, int n,
                          HitList& hits) const {
    double scores[Scorer::kGroup];
    scorer_.scores(query, data, next, n, scores);
    int added = 0;
    double tau = hits.tau();
    for (int i = 0; i < n; ++i) {
        if (!(scores[i] >= tau) || !spec_.permission.allows(first_ + query, rows[i])) continue;
        const std::int64_t id = spec_.corpus.id(rows[i]);
        const auto& seeds = seeds_[static_cast<std::size_t>(query)];
        if (std::binary_search(seeds.begin(), seeds.end(), id)) continue;
        hits.add({scores[i], id});
        tau = hits.tau();
        ++added;
    }
    return added;
}

void BatchSearch::raise(int query, double tau) {
    std::atomic<double>& shared = taus_[static_cast<std::size_t>(query)];
    double current = shared.load(std::memory_order_relaxed);
    while (current < tau && !shared.compare_exchange_weak(current, tau, std::memory_order_relaxed)) {
    }
}

void BatchSearch::finish(int query, std::vector<std::unique_ptr<BatchState>>& states) {
    HitList& hits = carried_[query];
    const auto q = static_cast<std::size_t>(query);
    for (auto& state : states) hits.add_all(state->hits[q]);
    raise(query, hits.tau());
    runtime::AlignedArray<std::byte> scratch(spec_.corpus.scratch_bytes(Scorer::kGroup));
    Verified done{0, 0, 0};
    double seconds = 0.0;
    {
        const Stopwatch watch(spec_.stats != nullptr, seconds);
        for (const Level level : {kCodes, kFloat}) {
            std::vector<core::Key> keys;
            for (auto& state : states) {
                const StageLane& lane = state->lanes[level];
                if (lane.counts.empty() || lane.counts[q] == 0) continue;
                const core::Key* begin = lane.keys.data() + q * plan_.key_capacity;
                keys.insert(keys.end(), begin, begin + lane.counts[q]);
            }
            if (keys.empty()) continue;
            done.rows += verify(level, keys.data(), keys.size(), keys.size(), 0, query, hits, scratch.data()).rows;
        }
    }
    if (spec_.stats != nullptr) spec_.stats->add_verified(done.rows, seconds);
}

}  // namespace embmath::engine
