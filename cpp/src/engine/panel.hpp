// A chunk of packed rows as a stage sees it, and the memory in which such chunks are made.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/bounds.hpp"
#include "engine/rows.hpp"
#include "kernel/table.hpp"
#include "runtime/memory.hpp"

namespace embmath::engine {

inline constexpr int kBlockRows = kernel::kBlockRows;

constexpr int blocks_of(int rows) { return (rows + kBlockRows - 1) / kBlockRows; }

// Packed blocks with what turns a row's sum into a bound.
struct Rung {
    const std::uint32_t* blocks = nullptr;      // [n_blocks][block_words]
    std::size_t block_words = 0;
    const float* mul = nullptr;                 // per row, as are the following
    const float* add[core::kMaxTerms] = {};     // null beyond those that the stage's bounds have

    void skip(int n_blocks) {
        const auto row = static_cast<std::size_t>(n_blocks * kBlockRows);
        blocks += static_cast<std::size_t>(n_blocks) * block_words;
        mul += row;
        for (const float*& each : add) each = each == nullptr ? nullptr : each + row;
    }
};

// The same rows' further codes, one row after the other, and what is left out after these.
struct LongerRows {
    const std::uint32_t* codes = nullptr;       // [n_rows][row_words]
    std::size_t row_words = 0;
    const float* radius = nullptr;              // per row: add[0] of the longer prefix

    void skip(int n_blocks) {
        const auto row = static_cast<std::size_t>(n_blocks * kBlockRows);
        codes += row * row_words;
        radius += row;
    }
};

struct Panel {
    Rung rung;                                  // what every row is judged by
    LongerRows longer;                          // and then those that are left; no codes: nothing
    const std::uint32_t* ids;                   // per row
    const std::uint32_t* copies;                // equal rows directly before; null: not known
    const std::uint16_t* valid;                 // per block: rows that may be returned
    int n_rows;
    double least_ratio;                         // of residual to code norm, over the rows (codes only)
    double typical_norm;
    double largest_norm;                        // core/prefix_bounds.hpp: of the rows (and their mean)
    double code_reach;

    int n_blocks() const { return blocks_of(n_rows); }

    // At most `n` blocks from `first` on.
    Panel part(int first, int n) const {
        Panel piece = *this;
        const auto row = static_cast<std::size_t>(first * kBlockRows);
        piece.rung.skip(first);
        if (longer.codes != nullptr) piece.longer.skip(first);
        piece.ids += row;
        if (copies != nullptr) piece.copies += row;
        piece.valid += first;
        piece.n_rows = n_rows - first * kBlockRows < n * kBlockRows ? n_rows - first * kBlockRows : n * kBlockRows;
        return piece;
    }
};

// What a packer says about 16 rows.
struct BlockTerms {
    float mul[kBlockRows] = {};
    float add[core::kMaxTerms][kBlockRows] = {};
    double norm[kBlockRows] = {};               // equal rows have equal ones; NaN: the row holds NaN
    double least_ratio;

    void set(int lane, const core::RowTerms& terms) {
        mul[lane] = terms.mul;
        for (int term = 0; term < core::kMaxTerms; ++term) add[term][lane] = terms.add[term];
    }
    core::RowTerms row(int lane) const { return {mul[lane], {add[0][lane], add[1][lane], add[2][lane]}}; }
};

// Packs rows for one stage and derives the terms of their bounds.
class BlockPacker {
public:
    virtual ~BlockPacker() = default;
    // `n` <= 16 rows; missing ones are packed as zeros.
    virtual void pack(const std::int64_t* rows, int n, std::uint32_t* block, BlockTerms& terms) = 0;
    virtual std::size_t block_words() const = 0;
};

// Rows that only repeat the ones directly before them: `copies` before the panel's first row, and
// `enough` of them to leave out any further one.
struct RunLimit {
    std::int64_t copies;
    std::int64_t enough;  // kNoLimit: keep all
};

class PanelBuffer {
public:
    PanelBuffer(const RowReader& rows, std::unique_ptr<BlockPacker> packer, int max_rows);

    // Packs rows (segment-relative `ids`, absolute = ids + base).
    void fill(const std::uint32_t* ids, int n_rows, std::int64_t base, RunLimit run);

    Panel view() const;
    static std::size_t bytes(std::size_t block_words, int max_rows);

private:
    // Which rows of a block may be returned. `previous`: the norm of the row before; null: `run` knows.
    std::uint16_t valid_rows(const BlockTerms& terms, const std::int64_t* rows, int n, const double* previous, RunLimit& run) const;

    const RowReader& rows_;
    std::unique_ptr<BlockPacker> packer_;
    runtime::AlignedArray<std::uint32_t> blocks_;
    runtime::AlignedArray<float> mul_, add_[core::kMaxTerms];
    runtime::AlignedArray<std::uint32_t> ids_;
    runtime::AlignedArray<std::uint16_t> valid_;
    int n_rows_ = 0;
    double least_ratio_ = 0.0;
    double typical_norm_ = 0.0;
};

}  // namespace embmath::engine
