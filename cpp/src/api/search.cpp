#include "embmath/search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "api/validate.hpp"
#include "dispatch/registry.hpp"
#include "embmath/errors.hpp"
#include "engine/certificate.hpp"
#include "engine/result.hpp"
#include "engine/rows.hpp"
#include "engine/scorer.hpp"
#include "engine/search.hpp"
#include "runtime/parallel.hpp"

namespace embmath {

namespace {

using engine::Hit;

constexpr api::Names kNames{"queries", "corpus"};

// A search after its arguments were checked.
class Search {
public:
    Search(const MatrixView& queries, const MatrixView& corpus, const SearchOptions& options, const Execution& execution)
        : options_(options), queries_(queries, options.n_cols), corpus_(corpus, options.n_cols) {
        api::check_dtypes(options.metric, queries.dtype, corpus.dtype, kNames);
        api::check_columns(queries, corpus, options.n_cols, kNames);
        if (options.exclude_self && queries.n_rows > corpus.n_rows) {
            throw ValueError("exclude_self: query i is row i of the corpus, got " + std::to_string(queries.n_rows) +
                             " queries and " + std::to_string(corpus.n_rows) + " rows");
        }
        if (options.threshold && std::isnan(*options.threshold)) throw ValueError("threshold: must be a number, got nan");
        if (options.reject_nan_queries) reject_nan(execution);
    }

    void run(std::int64_t limit, const Execution& execution, const engine::HitSink& sink) const {
        engine::search({dispatch::active(), options_.metric, queries_, corpus_, limit, floor(), permission()}, execution, sink);
    }

    engine::Permission permission() const { return {options_.mask, options_.mask_stride, options_.exclude_self}; }
    const engine::RowReader& queries() const { return queries_; }
    const engine::RowReader& corpus() const { return corpus_; }
    Metric metric() const { return options_.metric; }
    bool has_threshold() const { return options_.threshold.has_value(); }
    double sign() const { return engine::is_similarity(options_.metric) ? 1.0 : -1.0; }
    double floor() const {
        return options_.threshold ? sign() * *options_.threshold : -std::numeric_limits<double>::infinity();
    }
    ResultType type() const {
        return engine::result_type(options_.metric, queries_.dtype(), corpus_.dtype(), options_.n_cols);
    }

    // Only queries that hold NaN have a NaN norm.
    engine::Scorer scorer(std::int64_t query) const {
        return engine::Scorer(dispatch::active(), options_.metric, queries_, query, 1, corpus_.dtype());
    }

private:
    // Before any work is spent on the other queries.
    void reject_nan(const Execution& execution) const {
        if (engine::is_bits(options_.metric)) return;
        const std::int64_t row = engine::first_nan_row(dispatch::active(), queries_, execution);
        if (row < 0) return;
        throw ValueError("queries: row " + std::to_string(row) +
                         " holds NaN, allowed are numbers (search takes nan=\"rank_last\")");
    }

    const SearchOptions& options_;
    engine::RowReader queries_, corpus_;
};

// The rectangular result and what stands where a query found too little.
class TopKWriter {
public:
    TopKWriter(const Search& search, std::int64_t columns, void* values, std::int64_t* indices)
        : search_(search), columns_(columns), values_(values), indices_(indices) {}

    void write(std::int64_t query, const std::vector<Hit>& hits) const {
        const std::int64_t n = std::min(columns_, static_cast<std::int64_t>(hits.size()));
        for (std::int64_t i = 0; i < n; ++i) {
            const Hit& hit = hits[static_cast<std::size_t>(i)];
            put(query, i, search_.sign() * hit.score, hit.row);
        }
        for (std::int64_t i = n; i < columns_; ++i) put_missing(query, i);
    }

    // Rows not among the hits score NaN once fewer hits than columns came back: they follow by index.
    void append_nan_rows(std::int64_t query, const std::vector<Hit>& hits) const {
        auto found = static_cast<std::int64_t>(hits.size());
        if (found >= columns_ || search_.has_threshold() || search_.scorer(query).is_nan(0)) return;
        std::vector<std::int64_t> rows;
        for (const Hit& hit : hits) rows.push_back(hit.row);
        std::sort(rows.begin(), rows.end());
        const engine::Permission permission = search_.permission();
        for (std::int64_t row = 0; row < search_.corpus().n_rows() && found < columns_; ++row) {
            if (!permission.allows(query, row) || std::binary_search(rows.begin(), rows.end(), row)) continue;
            put(query, found++, std::numeric_limits<double>::quiet_NaN(), row);
        }
    }

private:
    void put(std::int64_t query, std::int64_t column, double value, std::int64_t row) const {
        const auto at = static_cast<std::size_t>(query * columns_ + column);
        engine::store_result(search_.type(), values_, at, value);
        indices_[at] = row;
    }

    void put_missing(std::int64_t query, std::int64_t column) const {
        const auto at = static_cast<std::size_t>(query * columns_ + column);
        engine::visit_result(search_.type(), [&](auto zero) {
            using Value = decltype(zero);
            using Limits = std::numeric_limits<Value>;
            static_cast<Value*>(values_)[at] =
                Limits::has_quiet_NaN ? Limits::quiet_NaN() : search_.sign() > 0 ? Limits::min() : Limits::max();
        });
        indices_[at] = -1;
    }

    const Search& search_;
    std::int64_t columns_;
    void* values_;
    std::int64_t* indices_;
};

}  // namespace

void search(const MatrixView& queries, const MatrixView& corpus, std::int64_t columns, const SearchOptions& options,
            const Execution& execution, void* values, std::int64_t* indices) {
    const Search search(queries, corpus, options, execution);
    const TopKWriter writer(search, columns, values, indices);
    if (columns == 0) return;
    search.run(columns, execution, [&](std::int64_t query, const std::vector<Hit>& hits) {
        writer.write(query, hits);
        writer.append_nan_rows(query, hits);
    });
}

RangeHits range_search(const MatrixView& queries, const MatrixView& corpus, const SearchOptions& options,
                       const Execution& execution) {
    if (!options.threshold) throw ValueError("threshold: required");
    const Search search(queries, corpus, options, execution);
    std::vector<std::vector<Hit>> found(static_cast<std::size_t>(queries.n_rows));
    search.run(engine::kNoLimit, execution, [&](std::int64_t query, std::vector<Hit>& hits) {
        found[static_cast<std::size_t>(query)] = std::move(hits);
    });
    RangeHits result;
    result.offsets.push_back(0);
    for (std::vector<Hit>& hits : found) {
        for (const Hit& hit : hits) {
            result.values.push_back(search.sign() * hit.score);
            result.indices.push_back(hit.row);
        }
        result.offsets.push_back(static_cast<std::int64_t>(result.indices.size()));
        hits = {};
    }
    return result;
}

void rescore(const MatrixView& queries, const MatrixView& corpus, const std::int64_t* candidates,
             std::int64_t n_candidates, std::int64_t columns, const SearchOptions& options, const Execution& execution,
             void* values, std::int64_t* indices) {
    const Search search(queries, corpus, options, execution);
    const TopKWriter writer(search, columns, values, indices);
    const std::int64_t n_all = queries.n_rows * n_candidates;
    for (std::int64_t i = 0; i < n_all; ++i) {
        if (candidates[i] >= -1 && candidates[i] < corpus.n_rows) continue;
        throw ValueError("candidates: must be rows of the corpus, below " + std::to_string(corpus.n_rows) +
                         ", or -1 for none, got " + std::to_string(candidates[i]));
    }
    const double work = static_cast<double>(n_all) * static_cast<double>(options.n_cols);
    runtime::for_each_task(execution, runtime::worker_count(execution, work), queries.n_rows,
                           [&](runtime::Worker&, std::int64_t query) {
        const engine::Scorer scorer = search.scorer(query);
        std::vector<std::int64_t> rows(candidates + query * n_candidates, candidates + (query + 1) * n_candidates);
        std::sort(rows.begin(), rows.end());
        rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
        std::vector<std::byte> scratch(search.corpus().scratch_bytes(1));
        std::vector<Hit> hits, nan_hits;
        for (const std::int64_t row : rows) {
            if (row < 0) continue;
            const double score = scorer.score(0, search.corpus().row(row, scratch.data()));
            (std::isnan(score) ? nan_hits : hits).push_back({score, row});
        }
        std::sort(hits.begin(), hits.end(), engine::is_better);
        hits.insert(hits.end(), nan_hits.begin(), nan_hits.end());
        writer.write(query, hits);
    });
}

void lay_open_certificate(const MatrixView& queries, const MatrixView& corpus, std::int64_t n_cols, Metric metric,
                          float* upper, float* own, float* proven) {
    api::check_dtypes(metric, queries.dtype, corpus.dtype, kNames);
    api::check_columns(queries, corpus, n_cols, kNames);
    const engine::RowReader query_rows(queries, n_cols), corpus_rows(corpus, n_cols);
    engine::lay_open(dispatch::active(), metric, query_rows, corpus_rows, {upper, own, proven});
}

}  // namespace embmath
