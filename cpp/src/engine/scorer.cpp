#include "engine/scorer.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "core/dtype.hpp"
#include "runtime/parallel.hpp"

namespace embmath::engine {

namespace {

using kernel::CanonicalOp;

constexpr std::size_t kLanes = 16;

std::size_t padded(std::size_t n_cols) { return (n_cols + kLanes - 1) / kLanes * kLanes; }

CanonicalOp canonical_op(Metric metric, bool is_separate) {
    switch (metric) {
        case Metric::cosine: return is_separate ? CanonicalOp::dot_norm_separate : CanonicalOp::dot_norm;
        case Metric::dot: return is_separate ? CanonicalOp::dot_separate : CanonicalOp::dot;
        case Metric::euclidean:
        case Metric::sqeuclidean: return CanonicalOp::sqdiff;
        case Metric::manhattan: return CanonicalOp::absdiff;
        case Metric::hamming: return CanonicalOp::hamming;
        case Metric::jaccard: break;
    }
    return CanonicalOp::jaccard;
}

kernel::CanonicalFn find(const kernel::KernelTable& table, CanonicalOp op, Dtype dtype) {
    return table.canonical[static_cast<int>(op)][static_cast<int>(dtype)];
}

}  // namespace

ResultType result_type(Metric metric, Dtype a, Dtype b, std::int64_t n_cols) {
    if (metric == Metric::hamming) return ResultType::i32;
    if (metric == Metric::jaccard) return ResultType::f32;
    if (a == Dtype::f64 || b == Dtype::f64) return ResultType::f64;
    const bool is_exact = metric == Metric::dot || metric == Metric::sqeuclidean || metric == Metric::manhattan;
    if (!core::is_integer(a) || !is_exact) return ResultType::f32;
    constexpr std::int64_t kInt32Dims = 33025;  // 255^2 * 33025 is the last below 2^31
    return n_cols <= kInt32Dims ? ResultType::i32 : ResultType::i64;
}

std::size_t Scorer::bytes_per_query(Metric metric, std::size_t n_cols) {
    return is_bits(metric) ? (n_cols + 63) / 64 * 64 : padded(n_cols) * sizeof(double);
}

Scorer::Scorer(const kernel::KernelTable& table, Metric metric, const RowReader& queries, std::int64_t first,
               std::int64_t count, Dtype row_dtype)
    : metric_(metric),
      type_(result_type(metric, queries.dtype(), row_dtype, static_cast<std::int64_t>(queries.n_cols()))),
      n_cols_(queries.n_cols()),
      query_bytes_(bytes_per_query(metric, n_cols_)),
      queries_(static_cast<std::size_t>(count) * query_bytes_),
      sq_norms_(static_cast<std::size_t>(count)) {
    const bool is_separate = queries.dtype() == Dtype::f64 || row_dtype == Dtype::f64;
    canonical_ = find(table, canonical_op(metric, is_separate), row_dtype);
    runtime::AlignedArray<std::byte> scratch(queries.scratch_bytes(1));
    for (std::int64_t i = 0; i < count; ++i) {
        const void* row = queries.row(first + i, scratch.data());
        std::byte* out = queries_.data() + static_cast<std::size_t>(i) * query_bytes_;
        sq_norms_[static_cast<std::size_t>(i)] = embmath::engine::sq_norm(table, metric, queries.dtype(), row, n_cols_);
        if (is_bits(metric)) {
            std::memcpy(out, row, n_cols_);
        } else {
            table.widen[static_cast<int>(queries.dtype())](row, n_cols_, reinterpret_cast<double*>(out));
        }
    }
}

double Scorer::cosine(double dot, double sq_norm, std::int64_t query) const {
    const double norms = std::sqrt(this->sq_norm(query)) * std::sqrt(sq_norm);
    if (norms == 0.0) return 0.0;
    const double value = dot / norms;
    return value > 1.0 ? 1.0 : value < -1.0 ? -1.0 : value;
}

void Scorer::values(std::int64_t query, const void* const* rows, const void* const* next, int n_rows, double* out) const {
    double sums[2 * kGroup];
    canonical_(queries_.data() + static_cast<std::size_t>(query) * query_bytes_, rows, next, n_rows,
               n_cols_, sums);
    const auto finish = [&](auto value_of) {
        for (int i = 0; i < n_rows; ++i) out[i] = value_of(sums[2 * i], sums[2 * i + 1]);
    };
    switch (metric_) {
        case Metric::cosine: return finish([&](double dot, double sq_norm) { return cosine(dot, sq_norm, query); });
        case Metric::euclidean: return finish([](double sum, double) { return std::sqrt(sum); });
        case Metric::jaccard:
            return finish([](double both, double either) { return either == 0.0 ? 0.0 : 1.0 - both / either; });
        default: return finish([](double sum, double) { return sum; });
    }
}

double sq_norm(const kernel::KernelTable& table, Metric metric, Dtype dtype, const void* row, std::size_t n_cols) {
    double sums[2];
    if (is_bits(metric)) {  // a row shares with itself all the bits it has
        find(table, CanonicalOp::jaccard, dtype)(row, &row, &row, 1, n_cols, sums);
        return sums[0];
    }
    find(table, dtype == Dtype::f64 ? CanonicalOp::norm_separate : CanonicalOp::norm, dtype)(row, &row, &row, 1, n_cols, sums);
    return sums[1];
}

std::int64_t first_nan_row(const kernel::KernelTable& table, const RowReader& rows, const Execution& execution) {
    constexpr std::int64_t kBatch = 256;
    const std::int64_t n = rows.n_rows();
    const double work = static_cast<double>(n) * static_cast<double>(rows.n_cols());
    std::atomic<std::int64_t> first{n};
    runtime::for_each_task(execution, runtime::worker_count(execution, work), (n + kBatch - 1) / kBatch,
                           [&](runtime::Worker&, std::int64_t task) {
        runtime::AlignedArray<std::byte> scratch(rows.scratch_bytes(1));
        const std::int64_t end = std::min(n, (task + 1) * kBatch);
        for (std::int64_t row = task * kBatch; row < end; ++row) {
            const void* data = rows.row(row, scratch.data());
            if (!std::isnan(sq_norm(table, Metric::dot, rows.dtype(), data, rows.n_cols()))) continue;
            std::int64_t seen = first.load();
            while (row < seen && !first.compare_exchange_weak(seen, row)) {
            }
            return;
        }
    });
    return first.load() == n ? -1 : first.load();
}

}  // namespace embmath::engine
