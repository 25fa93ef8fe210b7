// A stage: one form of packed rows with its tile, and the certificate by which rows are kept or
// discarded. It holds one batch of queries.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/bounds.hpp"
#include "engine/panel.hpp"
#include "kernel/table.hpp"
#include "runtime/memory.hpp"

namespace embmath::engine {

class Stage {
public:
    virtual ~Stage() = default;

    // A packer of rows for this stage.
    virtual std::unique_ptr<BlockPacker> packer(const RowReader& rows) const = 0;

    // What decides for a query once its k-th best canonical score is at least tau (-inf: not known).
    // Bounds made under one gate may be compared with the threshold of any later one.
    virtual core::Gate gate(int query, double tau, const Panel& panel) const = 0;

    // Queries that sums() takes at once, and the words of scores that they need for each row.
    int group() const { return lanes_ / digits_; }
    int lanes() const { return lanes_; }

    // Tile sums of queries [first, first + n), n <= group(), not beyond a multiple of group():
    // [n * digits][ld] words.
    // `from_memory`: nobody has read the panel just before.
    virtual void sums(const Panel& panel, int first, int n, bool from_memory, std::uint32_t* scores, std::size_t ld) const;

    // Bytes of codes behind a block of rows.
    virtual std::size_t block_bytes(const Panel& panel) const { return panel.rung.block_words * sizeof(std::uint32_t); }

    // Which rows a query may not return, beyond those the panel excludes.
    struct Exclusion {
        const std::uint8_t* allowed = nullptr;  // per id: the query's own mask
        std::uint32_t id = 0xffffffffu;
    };

    // Appends the keys (upper bound, id) of the rows in blocks [first, last) that the gate does not
    // discard; returns how many. `scores`: of a call of sums() that took the query as its `slot`th.
    std::size_t select(const Panel& panel, int first, int last, int slot, const std::uint32_t* scores,
                       std::size_t ld, const core::Gate& gate, const Exclusion& exclusion, core::Key* keys) const;

    // Of `count` keys of stored rows leaves those that the panel's longer rows do not discard, with
    // their bounds; returns how many.
    std::size_t refine(const Panel& panel, int query, int slot, const std::uint32_t* scores, std::size_t ld,
                       const core::Gate& gate, core::Key* keys, std::size_t count) const;

protected:
    Stage(const kernel::KernelTable& table, kernel::TileOp tile, kernel::SelectOp select, int digits, int lanes)
        : tile_(table.tile[static_cast<int>(tile)]),
          select_(table.select[static_cast<int>(select)]),
          digits_(digits),
          lanes_(lanes) {}

    // For a stage whose packer leaves nothing to a tile.
    Stage(const kernel::KernelTable& table, kernel::SelectOp select, int digits)
        : tile_(nullptr), select_(table.select[static_cast<int>(select)]), digits_(digits), lanes_(kernel::kTileQueries) {}

    void allocate_queries(int count, std::size_t n_steps, std::size_t block_words);
    std::uint32_t* query_block(int block) { return queries_.data() + static_cast<std::size_t>(block) * block_words_; }

    kernel::TileFn tile_;
    kernel::SelectFn select_;
    int digits_;                                    // lanes that a query takes
    int lanes_;                                     // that a tile call takes
    std::size_t n_steps_ = 0;                       // words of a row that a tile call takes
    std::size_t block_words_ = 0;
    runtime::AlignedArray<std::uint32_t> queries_;  // packed blocks of 16 lanes
    runtime::AlignedArray<std::uint32_t> start_;    // per lane: what sums start from; empty: zero
    kernel::CodeRowsFn longer_rows_ = nullptr;
    std::size_t longer_words_ = 0;                  // of a query's digit, for the panels' longer rows
    runtime::AlignedArray<std::uint32_t> longer_queries_;  // lane by lane
    std::vector<std::int32_t> longer_start_;        // per lane
    runtime::AlignedArray<std::uint32_t> rows_;     // lane by lane, for tiles of many queries; else empty
};

}  // namespace embmath::engine
