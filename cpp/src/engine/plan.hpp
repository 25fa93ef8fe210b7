// The planner: which stages, and how large a bite each worker takes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "embmath/runtime.hpp"
#include "engine/grid.hpp"
#include "engine/search.hpp"

namespace embmath::engine {

struct Plan {
    bool has_tile_stage;       // false: every row is scored canonically
    int chunk_rows;
    std::size_t key_capacity;  // candidates a worker holds per query before it must compact them
    Grid grid;
};

Plan make_plan(const SearchSpec& spec, const Execution& execution, std::int64_t n_rows);

// Rows of a packed chunk that stays in a core's L2 beside the queries it meets.
int chunk_rows_for(std::size_t words_per_row);

}  // namespace embmath::engine
