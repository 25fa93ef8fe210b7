// What an index holds at one moment.
//
// Rows have positions, a page of them at a time. A page is written once, block by block, beyond what
// any snapshot shows of it; only whole blocks of 16 are shown. The rows after the last whole block
// lie in a block of their own, the tail, which every snapshot has to itself. So a search never sees
// half an addition, and adding a row copies at most sixteen.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "embmath/index.hpp"
#include "engine/code_forms.hpp"
#include "engine/panel.hpp"
#include "engine/rows.hpp"
#include "engine/search.hpp"
#include "runtime/memory.hpp"

namespace embmath::engine {

// Packed blocks and the terms of their bounds: what a Rung refers to.
struct RungBlocks {
    runtime::SharedArray<std::uint32_t> blocks;
    runtime::SharedArray<float> mul, add[core::kMaxTerms];
};

// Rows in every kind of codes that the index keeps.
struct CodeBlocks {
    CodeBlocks(const CodeForms& forms, int n_rows);
    // Without memory for what each_array visits.
    explicit CodeBlocks(int n_rows);

    int n_rows;
    RungBlocks rungs[kCodeKinds][core::kRungs];
    runtime::SharedArray<std::uint32_t> positions, copies;
    runtime::SharedArray<std::uint16_t> valid;  // per block: rows without NaN

    std::size_t bytes() const;
};

// Which of the arrays that make up codes.
struct CodeArray {
    const char* part;
    int kind = -1;  // of codes; -1: of all kinds alike
    int rung = 0, term = -1;
    std::size_t per_block = kBlockRows;  // elements
};

// Calls visit(CodeArray, array) for every array of these codes but positions, which are just numbers.
template <class Blocks, class Visit>
void each_array(const CodeForms& forms, Blocks& codes, const Visit& visit) {
    visit(CodeArray{"copies"}, codes.copies);
    visit(CodeArray{"valid", -1, 0, -1, 1}, codes.valid);
    for (int kind = 0; kind < kCodeKinds; ++kind) {
        const auto name = static_cast<CodeKind>(kind);
        for (int rung = 0; forms.has(name) && rung < forms.n_rungs(name); ++rung) {
            auto& own = codes.rungs[kind][rung];
            const std::size_t words = forms.block_words(name, rung);
            if (words > 0) visit(CodeArray{"blocks", kind, rung, -1, words}, own.blocks);
            if (rung == 0) visit(CodeArray{"mul", kind, rung}, own.mul);
            for (int term = 0; term < forms.n_terms(name, rung); ++term) visit(CodeArray{"add", kind, rung, term}, own.add[term]);
        }
    }
}

// Who keeps the memory of some rows of a page alive.
struct Owned {
    int first;
    int n_rows;
    std::shared_ptr<const void> owner;
    bool is_copy;  // rows that the index keeps itself
};

struct Page {
    Page(const CodeForms& forms, int n_rows);
    Page(std::unique_ptr<CodeBlocks> codes, int n_rows);

    std::unique_ptr<CodeBlocks> codes;           // null: the index keeps none
    runtime::AlignedArray<const void*> rows;
    runtime::AlignedArray<std::int64_t> ids;
    std::vector<Owned> owners;                   // touched by changes of the index only
};

// Some blocks of codes, as far as they may be read.
struct Extent {
    int n_rows = 0;
    double least_ratio = core::kInfinity;
    double norm_sum = 0.0;
    double largest_norm = 0.0, code_reach[kCodeKinds] = {};  // as in Panel

    void add(const Extent& other);
    // As after rows in it have changed to those of `other`.
    void widen(const Extent& other);
};

// Codes as a stage of their kind takes them.
Panel make_panel(const CodeForms& forms, const CodeBlocks& codes, const Extent& extent, CodeKind kind);

struct PageView {
    std::shared_ptr<Page> page;
    Extent extent;  // whole blocks only
};

struct Snapshot {
    IndexOptions options;
    std::shared_ptr<const CodeForms> forms;
    int page_rows = 0;
    std::shared_ptr<const std::vector<PageView>> pages = std::make_shared<const std::vector<PageView>>();
    std::shared_ptr<const CodeBlocks> tail;      // null: no rows after the last whole block
    Extent tail_extent;
    std::int64_t n_positions = 0;
    std::int64_t n_live = 0;
    std::shared_ptr<const std::vector<std::uint8_t>> live;  // per position; null: all
    bool ids_ascend = true;       // by position
    bool knows_copies = true;     // CodeBlocks::copies are true
    std::int64_t next_id = 0;
    std::int64_t n_copied = 0;    // rows that the index keeps itself
    bool is_live(std::int64_t position) const { return live == nullptr || (*live)[static_cast<std::size_t>(position)] != 0; }
    std::int64_t id(std::int64_t position) const {
        return (*pages)[static_cast<std::size_t>(position / page_rows)].page->ids[static_cast<std::size_t>(position % page_rows)];
    }
    const void* row(std::int64_t position) const {
        return (*pages)[static_cast<std::size_t>(position / page_rows)].page->rows[static_cast<std::size_t>(position % page_rows)];
    }
    // Position of a live id, or -1. O(log n) while ids ascend, else O(n).
    std::int64_t find(std::int64_t id) const;
};

// A snapshot as the engine takes it; refers to the snapshot, which must live on.
class SnapshotRows {
public:
    explicit SnapshotRows(const Snapshot& snapshot);
    RowReader reader() const { return RowReader(pages_); }
    // Of leading columns only.
    RowReader reader(std::int64_t n_cols) const {
        PagedRows pages = pages_;
        pages.n_cols = n_cols;
        return RowReader(pages);
    }
    // Null where the index keeps no codes.
    const StoredCodes* codes() const { return codes_.n_panels > 0 ? &codes_ : nullptr; }

private:
    std::vector<const void* const*> rows_;
    std::vector<const std::int64_t*> ids_;
    std::vector<Panel> panels_[kCodeKinds];
    PagedRows pages_;
    StoredCodes codes_;
};

}  // namespace embmath::engine
