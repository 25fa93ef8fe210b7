// The canonical score of (query, row): the one definition that every other path is checked against.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "core/metrics.hpp"
#include "embmath/runtime.hpp"
#include "embmath/types.hpp"
#include "engine/rows.hpp"
#include "kernel/table.hpp"
#include "runtime/memory.hpp"

namespace embmath::engine {

constexpr bool is_bits(Metric metric) { return metric == Metric::hamming || metric == Metric::jaccard; }
// 32-bit words of a packed row: a dimension each, or four bytes of packed bits.
constexpr std::size_t words_per_row(Metric metric, std::size_t n_cols) { return is_bits(metric) ? (n_cols + 3) / 4 : n_cols; }
using core::is_similarity;

// Type of the scores of a metric on a pair of element types.
ResultType result_type(Metric metric, Dtype a, Dtype b, std::int64_t n_cols);

// The one rounding of the canonical score; integer scores are exact in float64 already.
inline double round_to(ResultType type, double value) {
    return type == ResultType::f32 ? static_cast<double>(static_cast<float>(value)) : value;
}

// Canonical |x|^2 of one row; of packed bits, how many are set. NaN if the row holds NaN.
double sq_norm(const kernel::KernelTable& table, Metric metric, Dtype dtype, const void* row, std::size_t n_cols);

// The lowest row that holds NaN, or -1.
std::int64_t first_nan_row(const kernel::KernelTable& table, const RowReader& rows, const Execution& execution);

// How far a pass over consecutive rows prefetches, in bytes; 4 to 48 KiB measured alike.
inline constexpr std::ptrdiff_t kScanAhead = 12 << 10;

class Scorer {
public:
    // Queries [first, first + count) of `queries`, against rows of `row_dtype`.
    Scorer(const kernel::KernelTable& table, Metric metric, const RowReader& queries, std::int64_t first,
           std::int64_t count, Dtype row_dtype);

    // Float64, before the one rounding: a similarity, or a distance.
    double value(std::int64_t query, const void* row) const {
        double result;
        values(query, &row, &row, 1, &result);
        return result;
    }

    // Rounded and oriented: larger is better. NaN if either holds NaN. At most kGroup rows: several
    // at once overlap their additions and their cache misses.
    // `next`: for each row one that will be read soon, or null.
    void scores(std::int64_t query, const void* const* rows, const void* const* next, int n_rows, double* out) const {
        values(query, rows, next == nullptr ? rows : next, n_rows, out);
        const double sign = is_similarity(metric_) ? 1.0 : -1.0;
        for (int i = 0; i < n_rows; ++i) out[i] = sign * round_to(type_, out[i]);
    }
    double score(std::int64_t query, const void* row) const {
        double result;
        scores(query, &row, nullptr, 1, &result);
        return result;
    }

    static constexpr int kGroup = 16;

    ResultType type() const { return type_; }
    double sq_norm(std::int64_t query) const { return sq_norms_[static_cast<std::size_t>(query)]; }
    bool is_nan(std::int64_t query) const { return std::isnan(sq_norm(query)); }

    static std::size_t bytes_per_query(Metric metric, std::size_t n_cols);

private:
    void values(std::int64_t query, const void* const* rows, const void* const* next, int n_rows, double* out) const;
    double cosine(double dot, double sq_norm, std::int64_t query) const;

    Metric metric_;
    ResultType type_;
    std::size_t n_cols_;
    std::size_t query_bytes_;  // stride of queries_
    kernel::CanonicalFn canonical_;
    runtime::AlignedArray<std::byte> queries_;  // float64 padded to 16 lanes, or packed bits
    runtime::AlignedArray<double> sq_norms_;    // packed bits: their count
};

}  // namespace embmath::engine
