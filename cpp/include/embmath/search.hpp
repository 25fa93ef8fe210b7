// Exact search: the best rows of a corpus for each query, by (canonical score, lowest index).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "embmath/runtime.hpp"
#include "embmath/types.hpp"

namespace embmath {

struct SearchOptions {
    Metric metric = Metric::cosine;
    std::int64_t n_cols = 0;                  // leading columns used
    const std::uint8_t* mask = nullptr;       // one byte per row, non-zero: may be returned
    std::int64_t mask_stride = 0;             // bytes from query to query; 0: one mask for all
    bool exclude_self = false;                // query i never returns row i
    std::optional<double> threshold;          // keep similarity >= t, distance <= t
    bool reject_nan_queries = true;           // else such a query returns nothing
};

// Fills values[nq][columns] (of score_type()) and indices[nq][columns]; what is missing is index -1
// and NaN, or the worst value of an integer type. Rows that score NaN come last, by index, and only
// where fewer than `columns` others exist.
void search(const MatrixView& queries, const MatrixView& corpus, std::int64_t columns, const SearchOptions& options,
            const Execution& execution, void* values, std::int64_t* indices);

struct RangeHits {
    std::vector<std::int64_t> offsets;  // nq + 1
    std::vector<double> values;
    std::vector<std::int64_t> indices;
};

// Every row within options.threshold, best first.
RangeHits range_search(const MatrixView& queries, const MatrixView& corpus, const SearchOptions& options,
                       const Execution& execution);

// The `columns` best of the candidates listed for each query: candidates[nq][n_candidates], -1 for
// none, duplicates counted once. Throws ValueError if one is out of range.
void rescore(const MatrixView& queries, const MatrixView& corpus, const std::int64_t* candidates,
             std::int64_t n_candidates, std::int64_t columns, const SearchOptions& options, const Execution& execution,
             void* values, std::int64_t* indices);

// The filter's certificate, pair by pair, for tests: see engine/certificate.hpp. Each output is
// [queries.n_rows][corpus.n_rows]; proven <= own <= upper must hold wherever they are numbers.
void lay_open_certificate(const MatrixView& queries, const MatrixView& corpus, std::int64_t n_cols, Metric metric,
                          float* upper, float* own, float* proven);

}  // namespace embmath
