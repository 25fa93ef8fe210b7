// A search cut to fit: how queries, rows and lists are divided, and where everything lies.
#pragma once

#include "embmath/cuda.h"
#include "kernel/arguments.cuh"

namespace embmath::cuda {

// What finish() sorts in the shared memory that a device has.
std::int64_t most_results(int device);

enum class Tile { narrow, medium, wide };

// Sizes that follow from a problem and a device alone.
struct SearchPlan {
    embmath_plan kind = EMBMATH_PLAN_EXACT;
    Tile tile = Tile::narrow;         // of match()
    std::int64_t n_splits = 1;        // ranges of rows, each with lists of its own
    std::int64_t batch_queries = 0;   // queries that have lists at the same time
    std::int64_t block_rows = 0;      // rows whose codes lie in the workspace at the same time
    std::uint32_t seeds_apart = 0;    // one tile in so many gives the first thresholds; 0: no tiles of their own
    std::uint32_t capacity = 0;       // of a list
};

SearchPlan make_plan(const embmath_search& search, int device);

// The workspace of a search.
struct SearchMemory {
    Plane queries;                      // of a batch
    Plane rows;                         // of a block, or the caller's plane
    core::HalfGate* gates = nullptr;    // [query]
    std::uint32_t* is_exact = nullptr;  // [query]
    Lists lists;                        // where the best rows are wanted
    float* least = nullptr;             // [query]: where all within a threshold are
};

SearchMemory carve(const embmath_search& search, const SearchPlan& plan, bool has_lists, void* workspace, std::size_t* bytes);

embmath_cuda_status bytes_of(const embmath_search& search, int device, bool has_lists, std::size_t* bytes);

embmath_cuda_status check(const embmath_search& search, int device);

}  // namespace embmath::cuda
