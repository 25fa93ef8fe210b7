// The tile stage: float32 (or bit-count) sums of a query batch against packed chunks of rows, and
// the certificate by which rows are kept or discarded (core/bounds.hpp).
#pragma once

#include <cstdint>
#include <vector>

#include "core/bounds.hpp"
#include "engine/hits.hpp"
#include "engine/packing.hpp"
#include "engine/scorer.hpp"
#include "kernel/table.hpp"
#include "runtime/memory.hpp"

namespace embmath::engine {

// A chunk of corpus rows, packed, with the terms of their bounds.
struct Panel {
    Panel(const kernel::KernelTable& table, const RowReader& rows, Metric metric, int max_rows);

    Packer packer;
    runtime::AlignedArray<float> blocks;
    runtime::AlignedArray<float> mul, add;
    runtime::AlignedArray<std::uint32_t> ids;
    runtime::AlignedArray<std::uint16_t> valid;  // per block: rows that may be returned
    int n_rows = 0;
    float max_add = 0.0F;  // largest |add| seen so far

    int n_blocks() const { return (n_rows + kBlockRows - 1) / kBlockRows; }
    static std::size_t bytes(Metric metric, std::size_t n_cols, int max_rows);
};

// Rows that only repeat the ones directly before them: `copies` before the panel's first row, and
// `enough` of them to leave out any further one.
struct RunLimit {
    std::int64_t copies;
    std::int64_t enough;  // kNoLimit: keep all
};

class TileStage {
public:
    // Whether this metric and type have a certified stage at all.
    static bool exists(Metric metric, Dtype query_dtype, Dtype row_dtype, std::int64_t n_cols);

    // Batch [first, first + count) of the queries; `scorer` holds the same batch.
    TileStage(const kernel::KernelTable& table, Metric metric, const RowReader& queries, std::int64_t first, int count,
              const Scorer& scorer);

    // Packs rows (segment-relative `ids`, absolute = ids + base) into the panel.
    void fill(Panel& panel, const std::vector<std::uint32_t>& ids, std::int64_t base, RunLimit run) const;

    // Sums of queries [first, first + n) of the batch, n <= 8, against the panel: [n][ld] words.
    void sums(const Panel& panel, int first, int n, float* scores, std::size_t ld) const;

    // Appends the keys of the panel's rows that query `query` may not discard; returns how many.
    std::size_t select(const Panel& panel, int query, const float* scores, float threshold, const std::uint8_t* allowed,
                       std::uint32_t excluded, core::Key* keys) const;

    float threshold(int query, double tau) const { return core::keep_threshold(terms_[static_cast<std::size_t>(query)], tau); }

    // A row whose upper bound is `bound` scores at least tau, where threshold(tau) >= this.
    float proven_threshold(int query, float bound, float max_add) const;

private:
    core::RowTerms bound_terms(const BlockStats& stats, int lane, const void* row, std::size_t n_cols) const;

    const kernel::KernelTable& table_;
    Metric metric_;
    double slack_;
    std::size_t n_steps_;
    std::size_t block_words_;
    runtime::AlignedArray<float> queries_;
    std::vector<core::QueryTerms> terms_;
    kernel::TileFn tile_;
    kernel::SelectFn select_;
};

}  // namespace embmath::engine
