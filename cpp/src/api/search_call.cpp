#include "api/search_call.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "api/open_rows.hpp"
#include "dispatch/registry.hpp"
#include "embmath/errors.hpp"
#include "engine/result.hpp"
#include "engine/stats.hpp"

namespace embmath::api {

using engine::Hit;

SearchCall::SearchCall(const MatrixView& queries, const MatrixView& corpus, const SearchOptions& options,
                       const Execution& execution)
    : options_(options),
      queries_(open_rows(queries, options.n_cols)),
      corpus_(open_rows(corpus, options.n_cols)),
      permission_{options.mask, options.mask_stride, options.exclude_self, options.own_rows} {
    check_dtypes(options.metric, queries_.dtype(), corpus_.dtype(), kSearchNames);
    check_columns(queries, corpus, options.n_cols, kSearchNames);
    if (options.exclude_self && options.own_rows == nullptr && queries.n_rows > corpus.n_rows) {
        throw ValueError("exclude_self: query i is row i of the corpus, got " + std::to_string(queries.n_rows) +
                         " queries and " + std::to_string(corpus.n_rows) + " rows");
    }
    check(execution);
}

SearchCall::SearchCall(const MatrixView& queries, const engine::RowReader& corpus, const engine::StoredCodes* codes,
                       bool may_use_codes, bool ids_ascend, const engine::Permission& permission, const SearchOptions& options,
                       const Execution& execution)
    : options_(options),
      queries_(open_rows(queries, options.n_cols)),
      corpus_(corpus),
      codes_(codes),
      may_use_codes_(may_use_codes),
      ids_ascend_(ids_ascend),
      permission_(permission) {
    check_dtypes(options.metric, corpus.dtype(), queries_.dtype(), {"index", "queries"});
    check(execution);
}

void SearchCall::check(const Execution& execution) const {
    if (options_.threshold && std::isnan(*options_.threshold)) throw ValueError("threshold: must be a number, got nan");
    if (options_.reject_nan_queries) reject_nan(execution);
}

// Before any work is spent on the other queries. Only queries that hold NaN have a NaN norm.
void SearchCall::reject_nan(const Execution& execution) const {
    if (engine::is_bits(options_.metric)) return;
    const std::int64_t row = engine::first_nan_row(dispatch::active(), queries_, execution);
    if (row < 0) return;
    throw ValueError("queries: row " + std::to_string(row) +
                     " holds NaN, allowed are numbers (search takes nan=\"rank_last\")");
}

engine::Scorer SearchCall::scorer(std::int64_t query) const {
    return engine::Scorer(dispatch::active(), options_.metric, queries_, query, 1, corpus_.dtype());
}

void SearchCall::run(std::int64_t limit, const Execution& execution, const engine::HitSink& sink) const {
    engine::SearchSpec spec{dispatch::active(), options_.metric, queries_, corpus_, limit, floor(), permission_};
    spec.codes = codes_;
    spec.may_use_codes = may_use_codes_;
    spec.ids_ascend = ids_ascend_;
    if (options_.stats == nullptr) return engine::search(spec, execution, sink);
    engine::StatsCollector collector(*options_.stats);
    spec.stats = &collector;
    const engine::Stopwatch watch(true, options_.stats->seconds);
    engine::search(spec, execution, sink);
}

void SearchCall::run_top(std::int64_t columns, const Execution& execution, void* values, std::int64_t* ids) const {
    if (columns == 0) return;
    const TopKWriter writer(*this, columns, values, ids);
    run(columns, execution, [&](std::int64_t query, const std::vector<Hit>& hits) {
        writer.write(query, hits);
        writer.append_nan_rows(query, hits);
    });
}

RangeHits SearchCall::run_range(const Execution& execution) const {
    if (!options_.threshold) throw ValueError("threshold: required");
    std::vector<std::vector<Hit>> found(static_cast<std::size_t>(queries_.n_rows()));
    run(engine::kNoLimit, execution, [&](std::int64_t query, std::vector<Hit>& hits) {
        found[static_cast<std::size_t>(query)] = std::move(hits);
    });
    RangeHits result;
    result.offsets.push_back(0);
    for (std::vector<Hit>& hits : found) {
        for (const Hit& hit : hits) {
            result.values.push_back(sign() * hit.score);
            result.indices.push_back(hit.row);
        }
        result.offsets.push_back(static_cast<std::int64_t>(result.indices.size()));
        hits = {};
    }
    return result;
}

void TopKWriter::write(std::int64_t query, const std::vector<Hit>& hits) const {
    const std::int64_t n = std::min(columns_, static_cast<std::int64_t>(hits.size()));
    for (std::int64_t i = 0; i < n; ++i) {
        const Hit& hit = hits[static_cast<std::size_t>(i)];
        put(query, i, call_.sign() * hit.score, hit.row);
    }
    for (std::int64_t i = n; i < columns_; ++i) put_missing(query, i);
}

void TopKWriter::append_nan_rows(std::int64_t query, const std::vector<Hit>& hits) const {
    auto found = static_cast<std::int64_t>(hits.size());
    if (found >= columns_ || call_.has_threshold() || call_.scorer(query).is_nan(0)) return;
    std::vector<std::int64_t> known, ids;
    for (const Hit& hit : hits) known.push_back(hit.row);
    std::sort(known.begin(), known.end());
    const auto wanted = static_cast<std::size_t>(columns_ - found);
    for (std::int64_t row = 0; row < call_.corpus().n_rows(); ++row) {
        if (call_.ids_ascend() && ids.size() == wanted) break;
        const std::int64_t id = call_.corpus().id(row);
        if (call_.permission().allows(query, row) && !std::binary_search(known.begin(), known.end(), id)) ids.push_back(id);
    }
    std::sort(ids.begin(), ids.end());
    for (const std::int64_t id : ids) {
        if (found < columns_) put(query, found++, std::numeric_limits<double>::quiet_NaN(), id);
    }
}

void TopKWriter::put(std::int64_t query, std::int64_t column, double value, std::int64_t id) const {
    const auto at = static_cast<std::size_t>(query * columns_ + column);
    engine::store_result(call_.type(), values_, at, value);
    ids_[at] = id;
}

void TopKWriter::put_missing(std::int64_t query, std::int64_t column) const {
    const auto at = static_cast<std::size_t>(query * columns_ + column);
    engine::visit_result(call_.type(), [&](auto zero) {
        using Value = decltype(zero);
        using Limits = std::numeric_limits<Value>;
        static_cast<Value*>(values_)[at] =
            Limits::has_quiet_NaN ? Limits::quiet_NaN() : call_.sign() > 0 ? Limits::min() : Limits::max();
    });
    ids_[at] = -1;
}

}  // namespace embmath::api
