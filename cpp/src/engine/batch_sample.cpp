// First thresholds of a batch: the best of a sample, verified.
#include <algorithm>
#include <functional>
#include <limits>

#include "engine/batch_search.hpp"

namespace embmath::engine {

namespace {

// Stored rows are sampled in pieces: whole register tiles of every instruction set.
constexpr int kSamplePiece = 96;

// The `wanted` best bounds so far, and some more that wait until trimming them pays.
struct Best {
    explicit Best(std::size_t limit) : wanted(limit) {}

    core::Key* room_for(std::size_t n) {
        if (count + n > 4 * wanted) trim();
        if (keys.size() < count + n) keys.resize(count + std::max(n, 4 * wanted));
        return keys.data() + count;
    }
    void trim() {
        if (count <= wanted) return;
        const auto last = keys.begin() + static_cast<std::ptrdiff_t>(wanted) - 1;
        std::nth_element(keys.begin(), last, keys.begin() + static_cast<std::ptrdiff_t>(count), std::greater<>());
        count = wanted;
        least = core::key_score(*last);
    }

    std::size_t wanted, count = 0;
    float least = -std::numeric_limits<float>::infinity();
    std::vector<core::Key> keys;
};

}  // namespace

// Rows spread over the segment, as panels of the first stage. No row may come twice: counted twice
// among the best it would prove a threshold that does not hold. Pieces of the index therefore come
// from different panels, and rows of an array lie at least sixteen apart (plan.cpp).
std::vector<Panel> BatchSearch::sample(Level level, std::int64_t n_sample, std::vector<PanelBuffer>& buffers,
                                       std::vector<PanelRows>& rows) const {
    std::vector<Panel> panels;
    const bool is_stored = level == kCodes && spec_.codes != nullptr;
    const int panel_rows = is_stored ? kSamplePiece : level == kCodes ? plan_.chunk_rows : plan_.float_rows;
    std::int64_t n_panels = (n_sample + panel_rows - 1) / panel_rows;
    if (is_stored) n_panels = std::min(n_panels, static_cast<std::int64_t>(spec_.codes->n_panels));
    rows.resize(static_cast<std::size_t>(n_panels));
    buffers.reserve(static_cast<std::size_t>(n_panels));
    const std::uint8_t* mask = spec_.permission.is_shared() ? spec_.permission.mask + segment_.base : nullptr;
    for (std::int64_t p = 0; p < n_panels; ++p) {
        PanelRows& own = rows[static_cast<std::size_t>(p)];
        if (is_stored) {
            // The last piece lies at the end: a corpus in ascending order has its best rows there.
            const auto last = static_cast<std::int64_t>(spec_.codes->n_panels) - 1;
            const Panel whole = stored_panel(n_panels == 1 ? last / 2 : p * last / (n_panels - 1), own);
            const int room = std::max(whole.n_blocks() - kSamplePiece / kBlockRows, 0);
            panels.push_back(whole.part(static_cast<int>(p * room / n_panels), kSamplePiece / kBlockRows));
            continue;
        }
        for (std::int64_t i = p; i < n_sample; i += n_panels) {
            const std::int64_t row = i * segment_.n_rows / n_sample;
            if (mask == nullptr || mask[row] != 0) own.ids.push_back(static_cast<std::uint32_t>(row));
        }
        if (own.ids.empty()) continue;
        PanelBuffer& buffer = buffers.emplace_back(spec_.corpus, stages_[level]->packer(spec_.corpus), panel_rows);
        buffer.fill(own.ids.data(), static_cast<int>(own.ids.size()), segment_.base, {0, kNoLimit});
        panels.push_back(buffer.view());
    }
    return panels;
}

// The best bounds among a sample, verified: a threshold for each query that most rows fall below, at
// the price of `limit` rows read, before any worker meets its first chunk.
void BatchSearch::prepare(const Execution& execution, int workers) {
    const Level level = first_level();
    const std::int64_t n_sample = plan_.sample_rows;
    if (level == kCanonical || n_sample == 0) return;
    std::vector<PanelBuffer> buffers;
    std::vector<PanelRows> rows;
    const std::vector<Panel> panels = sample(level, n_sample, buffers, rows);
    const Stage& stage = *stages_[level];
    const auto ld = static_cast<std::size_t>(plan_.chunk_rows);
    const auto wanted = static_cast<std::size_t>(spec_.limit);
    runtime::for_each_task(execution, workers, (count_ + stage.group() - 1) / stage.group(),
                           [&](runtime::Worker& worker, std::int64_t task) {
        const int first = static_cast<int>(task) * stage.group(), n = std::min(stage.group(), count_ - first);
        runtime::AlignedArray<std::uint32_t> scores(static_cast<std::size_t>(stage.lanes()) * ld);
        std::vector<Best> best(static_cast<std::size_t>(n), Best(wanted));
        for (const Panel& panel : panels) {
            worker.checkpoint();
            stage.sums(panel, first, n, task == 0, scores.data(), ld);
            for (int i = 0; i < n; ++i) {
                Best& own = best[static_cast<std::size_t>(i)];
                core::Gate gate = stage.gate(first + i, -core::kInfinity, panel);
                gate.threshold = own.least;
                core::Key* end = own.room_for(static_cast<std::size_t>(panel.n_blocks()) * kBlockRows);
                own.count += stage.select(panel, 0, panel.n_blocks(), i, scores.data(), ld, gate, exclusion(first + i), end);
            }
        }
        runtime::AlignedArray<std::byte> scratch(spec_.corpus.scratch_bytes(Scorer::kGroup));
        double seconds = 0.0;
        std::int64_t n_verified = 0;
        for (int i = 0; i < n; ++i) {
            Best& own = best[static_cast<std::size_t>(i)];
            if (scorer_.is_nan(first + i)) continue;
            own.trim();
            const Stopwatch watch(spec_.stats != nullptr, seconds);
            HitList& hits = carried_[first + i];
            n_verified += verify(level, own.keys.data(), own.count, own.count, 0, first + i, hits, scratch.data()).rows;
            // The scan meets these rows again.
            for (const Hit& hit : hits.all()) seeds_[static_cast<std::size_t>(first + i)].push_back(hit.row);
            std::sort(seeds_[static_cast<std::size_t>(first + i)].begin(), seeds_[static_cast<std::size_t>(first + i)].end());
        }
        if (spec_.stats != nullptr) spec_.stats->add_verified(n_verified, seconds);
    });
}

}  // namespace embmath::engine
