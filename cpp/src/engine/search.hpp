// Exact search: which plan, and the sweep that carries it out.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "embmath/index.hpp"
#include "embmath/runtime.hpp"
#include "embmath/search.hpp"
#include "engine/hits.hpp"
#include "engine/panel.hpp"
#include "engine/rows.hpp"
#include "engine/stats.hpp"
#include "kernel/table.hpp"

namespace embmath::engine {

// Which rows a query may return.
struct Permission {
    const std::uint8_t* mask = nullptr;    // one byte per row; non-zero: allowed
    std::int64_t mask_stride = 0;          // bytes from query to query; 0: one mask for all
    bool exclude_self = false;             // query i never returns row own_rows[i]
    const std::int64_t* own_rows = nullptr;  // null: row i; -1: there is none

    bool is_shared() const { return mask != nullptr && mask_stride == 0; }
    const std::uint8_t* own_mask(std::int64_t query) const {
        return mask != nullptr && mask_stride != 0 ? mask + query * mask_stride : nullptr;
    }
    std::int64_t self(std::int64_t query) const {
        return !exclude_self ? -1 : own_rows == nullptr ? query : own_rows[query];
    }
    bool allows(std::int64_t query, std::int64_t row) const {
        return (mask == nullptr || mask[query * mask_stride + row] != 0) && self(query) != row;
    }
};

class PrefixPlane;
class Rotation;

// Codes kept beside the rows: panels in ascending position, which cover all of them. Each kind of
// codes has panels of the same rows.
struct StoredCodes {
    const Panel* panels[kCodeKinds];         // null: not kept
    const PrefixPlane* planes[kCodeKinds];   // of rotated kinds
    const Rotation* rotation;
    std::size_t n_panels;
    int chunk_rows;        // most rows of a panel
    bool knows_copies;     // Panel::copies tell of equal rows, whose ids ascend
};

struct SearchSpec {
    const kernel::KernelTable& table;
    Metric metric;
    const RowReader& queries;
    const RowReader& corpus;
    std::int64_t limit;  // hits per query, or kNoLimit
    double floor;        // least oriented score; -inf for none
    Permission permission;
    const StoredCodes* codes = nullptr;
    StatsCollector* stats = nullptr;
    bool ids_ascend = true;  // by position: of equal rows the first has the lowest
    bool may_use_codes = true;
    bool may_use_float = true;
};

// Receives a query's hits, best first; called from several threads, once per query. A query that
// holds NaN has none.
using HitSink = std::function<void(std::int64_t query, std::vector<Hit>& hits)>;

// With EMBMATH_VERIFY=1 every result is compared with that of a plain canonical scan; a difference
// throws std::logic_error.
void search(const SearchSpec& spec, const Execution& execution, const HitSink& sink);

// For tests of the self-check: factors on the parts of every bound made from now on.
void set_bound_scales(const core::BoundScales& scales);
core::BoundScales bound_scales();

}  // namespace embmath::engine
