// The planner: which stages, and how large a bite each worker takes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "embmath/runtime.hpp"
#include "engine/grid.hpp"
#include "engine/search.hpp"

namespace embmath::engine {

struct Plan {
    int code_digits;           // of a query in the stage of codes; 0: that stage is not used
    bool reads_codes;          // those that the corpus itself consists of, as they are stored
    CodeKind code_kind;        // else
    bool has_float_stage;      // false: rows that no other stage discards are scored canonically
    int chunk_rows;
    int float_rows;            // rows that the float32 stage packs at a time
    std::int64_t sample_rows;  // whose best give the first thresholds; 0: the first rows do
    int score_lanes;           // tile sums that a worker holds for each row of a chunk
    std::size_t key_capacity;  // candidates a worker has room for, per query
    std::size_t settle_keys;   // new ones after which the best of them are verified
    Grid grid;
};

Plan make_plan(const SearchSpec& spec, const Execution& execution, std::int64_t n_rows);

// Rows of a packed chunk that stays in a core's L2 beside the queries it meets.
int chunk_rows_for(std::size_t words_per_row);

// "int8", "float32", "canonical" and their combinations.
const char* describe(const Plan& plan);

}  // namespace embmath::engine
