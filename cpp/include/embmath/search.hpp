// Exact search: the best rows of a corpus for each query, by (canonical score, lowest index).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "embmath/runtime.hpp"
#include "embmath/types.hpp"

namespace embmath {

// What one stage did, over all workers.
struct StageStats {
    std::int64_t pairs = 0;      // (query, row) bounds evaluated
    std::int64_t refined = 0;    // of those, judged again by longer codes
    std::int64_t survivors = 0;  // not discarded at once
    std::int64_t bytes = 0;      // packed rows that tiles read
    double pack_seconds = 0.0, tile_seconds = 0.0;
};

struct SearchStats {
    std::string plan;                   // its stages
    StageStats stages[3];               // codes, float32, canonical
    std::int64_t verified = 0;          // rows scored canonically, beyond those of stages[2]
    double verify_seconds = 0.0;
    double seconds = 0.0;               // of the whole search
};

struct SearchOptions {
    Metric metric = Metric::cosine;
    std::int64_t n_cols = 0;                  // leading columns used
    const std::uint8_t* mask = nullptr;       // one byte per row, non-zero: may be returned
    std::int64_t mask_stride = 0;             // bytes from query to query; 0: one mask for all
    bool exclude_self = false;                // query i never returns row i
    const std::int64_t* own_rows = nullptr;   // with exclude_self: instead of i, one per query; -1: none
    std::optional<double> threshold;          // keep similarity >= t, distance <= t
    bool reject_nan_queries = true;           // else such a query returns nothing
    SearchStats* stats = nullptr;             // filled in, if given
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

// Which certificate: of the float32 stage, or of codes with one or two (wide) digits per query code;
// of codes as they are stored, for what they decode to; of rotated ones by their first coordinates or
// by all.
enum class StageKind : std::uint8_t {
    float32, int8, int8_wide, decoded, decoded_wide,
    prefix, prefix_wide, prefix_long, prefix_long_wide,
    int4, int4_wide, int4_long, int4_long_wide,
};

struct Basis;

// A certificate, pair by pair, for tests: see engine/certificate.hpp. `rank`: whose score among a
// query's sets tau, best first. Each output is [queries.n_rows][corpus.n_rows]. Rotated codes need a
// basis.
void lay_open_certificate(const MatrixView& queries, const MatrixView& corpus, std::int64_t n_cols, Metric metric,
                          StageKind stage, std::int64_t rank, std::shared_ptr<const Basis> basis, float* upper, float* own);

// For tests of the self-check: factors on the parts of every bound made from now on.
void scale_bounds(double rounding, double residual, double query);

}  // namespace embmath
