// An index as arrays over all its positions, and back: what a file holds.
//
//   rows [n, n_cols]    ids [n]    live [n] (bool; only where some are not)
//   extents [pages + 1, 3]         per page, then the tail: least_ratio, norm_sum, largest_norm
//   codes.KIND.reach [pages + 1]
//   copies [blocks, 16]  valid [blocks, 1]    codes.KIND.RUNG.{blocks,mul,add.TERM} [blocks, ...]
//
// Blocks are numbered across pages, so that extents alone depend on the pages' size. Positions and
// counts are not kept: they follow from the number of rows.
#pragma once

#include <functional>
#include <vector>

#include "embmath/index.hpp"
#include "embmath/runtime.hpp"
#include "engine/snapshot.hpp"

namespace embmath::engine {

inline constexpr int kExtentNumbers = 3;

// One of those arrays, and how to read rows [first, first + n) of it.
struct SavedColumn {
    SavedArray shape;
    std::function<void(const Snapshot&, std::int64_t first, std::int64_t n, void* out)> read;
};

// For `n` positions in pages of `page_rows`.
std::vector<SavedColumn> saved_columns(const CodeForms& forms, const IndexOptions& options, std::int64_t n,
                                       std::int64_t page_rows, bool has_live, bool has_codes);
std::vector<SavedColumn> saved_columns(const Snapshot& snapshot);

// `empty` with these rows in it; without codes where saved.has_codes is false. Whether ids that do
// not ascend are there twice is left to the caller, who needs a table of them anyway. Throws
// ValueError where the arrays do not fit together.
Snapshot restored(const Snapshot& empty, const SavedIndex& saved, const Execution& execution);

}  // namespace embmath::engine
