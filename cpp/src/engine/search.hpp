// Exact search: which plan, and the sweep that carries it out.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "embmath/runtime.hpp"
#include "engine/hits.hpp"
#include "engine/rows.hpp"
#include "kernel/table.hpp"

namespace embmath::engine {

// Which rows a query may return.
struct Permission {
    const std::uint8_t* mask = nullptr;  // one byte per row; non-zero: allowed
    std::int64_t mask_stride = 0;        // bytes from query to query; 0: one mask for all
    bool exclude_self = false;           // query i never returns row i

    bool is_shared() const { return mask != nullptr && mask_stride == 0; }
    const std::uint8_t* own_mask(std::int64_t query) const {
        return mask != nullptr && mask_stride != 0 ? mask + query * mask_stride : nullptr;
    }
    bool allows(std::int64_t query, std::int64_t row) const {
        return (mask == nullptr || mask[query * mask_stride + row] != 0) && !(exclude_self && query == row);
    }
};

struct SearchSpec {
    const kernel::KernelTable& table;
    Metric metric;
    const RowReader& queries;
    const RowReader& corpus;
    std::int64_t limit;  // hits per query, or kNoLimit
    double floor;        // least oriented score; -inf for none
    Permission permission;
};

// Receives a query's hits, best first; called from several threads, once per query. A query that
// holds NaN has none.
using HitSink = std::function<void(std::int64_t query, std::vector<Hit>& hits)>;

void search(const SearchSpec& spec, const Execution& execution, const HitSink& sink);

}  // namespace embmath::engine
