// A search after its arguments were checked, and how its hits become arrays: shared by searches of
// arrays and of an index.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "api/validate.hpp"
#include "embmath/search.hpp"
#include "engine/rows.hpp"
#include "engine/scorer.hpp"
#include "engine/search.hpp"

namespace embmath::api {

inline constexpr Names kSearchNames{"queries", "corpus"};

class SearchCall {
public:
    // Rows of an array.
    SearchCall(const MatrixView& queries, const MatrixView& corpus, const SearchOptions& options, const Execution& execution);

    // Rows of an index, with its codes (null: none), whether any may be used, and what a query may return.
    SearchCall(const MatrixView& queries, const engine::RowReader& corpus, const engine::StoredCodes* codes, bool may_use_codes,
               bool ids_ascend, const engine::Permission& permission, const SearchOptions& options, const Execution& execution);

    void run(std::int64_t limit, const Execution& execution, const engine::HitSink& sink) const;
    RangeHits run_range(const Execution& execution) const;

    // Fills values[nq][columns] and ids[nq][columns].
    void run_top(std::int64_t columns, const Execution& execution, void* values, std::int64_t* ids) const;

    const engine::Permission& permission() const { return permission_; }
    const engine::RowReader& corpus() const { return corpus_; }
    bool ids_ascend() const { return ids_ascend_; }
    bool has_threshold() const { return options_.threshold.has_value(); }
    // The least oriented score.
    double floor() const {
        return options_.threshold ? sign() * *options_.threshold : -std::numeric_limits<double>::infinity();
    }
    double sign() const { return engine::is_similarity(options_.metric) ? 1.0 : -1.0; }
    ResultType type() const {
        return engine::result_type(options_.metric, queries_.dtype(), corpus_.dtype(), options_.n_cols);
    }
    engine::Scorer scorer(std::int64_t query) const;

private:
    void check(const Execution& execution) const;
    void reject_nan(const Execution& execution) const;
    const SearchOptions& options_;
    engine::RowReader queries_, corpus_;
    const engine::StoredCodes* codes_ = nullptr;
    bool may_use_codes_ = true;
    bool ids_ascend_ = true;
    engine::Permission permission_;
};

// The rectangular result and what stands where a query found too little.
class TopKWriter {
public:
    TopKWriter(const SearchCall& call, std::int64_t columns, void* values, std::int64_t* ids)
        : call_(call), columns_(columns), values_(values), ids_(ids) {}

    void write(std::int64_t query, const std::vector<engine::Hit>& hits) const;

    // Rows not among the hits score NaN once fewer hits than columns came back: they follow by id.
    void append_nan_rows(std::int64_t query, const std::vector<engine::Hit>& hits) const;

private:
    void put(std::int64_t query, std::int64_t column, double value, std::int64_t id) const;
    void put_missing(std::int64_t query, std::int64_t column) const;

    const SearchCall& call_;
    std::int64_t columns_;
    void* values_;
    std::int64_t* ids_;
};

}  // namespace embmath::api
