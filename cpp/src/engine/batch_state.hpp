// One worker's memory for a batch of queries, reused from chunk to chunk.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/bounds.hpp"
#include "core/order_key.hpp"
#include "engine/hits.hpp"
#include "engine/panel.hpp"
#include "engine/search.hpp"
#include "runtime/memory.hpp"

namespace embmath::engine {

// Stages from narrow to wide; the last has no bounds and scores every row.
enum Level : std::uint8_t { kCodes, kFloat, kCanonical };

// What a worker keeps for one stage.
struct StageLane {
    std::optional<PanelBuffer> buffer;
    runtime::AlignedArray<core::Key> keys;  // [query][capacity]: bounds not yet verified
    std::vector<std::size_t> counts;        // per query
    std::vector<std::size_t> settle_at;     // per query: how many are due for verification
    std::vector<core::Gate> gates;          // per query, made from ...
    std::vector<double> gate_taus;          // ... this threshold
    StageStats stats;
};

// Which rows of a chunk count: their ids, and for a stored panel the same as bits.
struct PanelRows {
    std::vector<std::uint32_t> ids;
    std::vector<std::uint16_t> valid;
};

struct BatchState {
    explicit BatchState(const SearchSpec& search) : spec(search) {}
    ~BatchState() {
        if (spec.stats == nullptr) return;
        for (int level : {kCodes, kFloat}) spec.stats->add(level, lanes[level].stats);
        spec.stats->add(kCanonical, scanned);
        spec.stats->add_verified(verified, verify_seconds);
    }
    BatchState(const BatchState&) = delete;
    BatchState& operator=(const BatchState&) = delete;

    const SearchSpec& spec;
    StageLane lanes[2];                               // by Level
    PanelRows rows;                                 // of the chunk, that may be returned
    runtime::AlignedArray<std::uint32_t> scores;    // tile sums of one group of queries
    std::vector<Level> levels, next_levels;         // per query; a change takes effect with the next chunk
    std::vector<std::int64_t> wasted;               // per query: rows verified in vain
    std::vector<std::int64_t> refined;              // per query: rows that a prefix could not judge
    std::int64_t rows_seen = 0;
    std::vector<HitList> hits;                      // per query: verified
    runtime::AlignedArray<std::byte> scratch;       // rows that had to be copied
    StageStats scanned;
    std::int64_t verified = 0;
    double verify_seconds = 0.0;
};

}  // namespace embmath::engine
