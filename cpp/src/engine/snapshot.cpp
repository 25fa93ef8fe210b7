#include "engine/snapshot.hpp"

#include <algorithm>
#include <type_traits>

namespace embmath::engine {

namespace {

Rung make_rung(const CodeForms& forms, const CodeBlocks& codes, CodeKind kind) {
    const RungBlocks& own = codes.rungs[static_cast<int>(kind)][0];
    return {own.blocks.data(), forms.block_words(kind, 0), own.mul.data(), {own.add[0].data(), own.add[1].data(), own.add[2].data()}};
}

LongerRows make_longer(const CodeForms& forms, const CodeBlocks& codes, CodeKind kind) {
    if (forms.n_rungs(kind) == 1) return {};
    const RungBlocks& own = codes.rungs[static_cast<int>(kind)][1];
    return {own.blocks.data(), forms.block_words(kind, 1) / kBlockRows, own.add[0].data()};
}

}  // namespace

Panel make_panel(const CodeForms& forms, const CodeBlocks& codes, const Extent& extent, CodeKind kind) {
    const double least_ratio = extent.least_ratio == core::kInfinity ? 0.0 : extent.least_ratio;  // zeros only
    return {make_rung(forms, codes, kind), make_longer(forms, codes, kind),
            codes.positions.data(), codes.copies.data(), codes.valid.data(), extent.n_rows, least_ratio,
            extent.norm_sum / std::max(extent.n_rows, 1), extent.largest_norm, extent.code_reach[static_cast<int>(kind)]};
}

CodeBlocks::CodeBlocks(int rows) : n_rows(rows), positions(static_cast<std::size_t>(blocks_of(rows) * kBlockRows)) {}

CodeBlocks::CodeBlocks(const CodeForms& forms, int rows) : CodeBlocks(rows) {
    const auto n_blocks = static_cast<std::size_t>(blocks_of(rows));
    each_array(forms, *this, [&](const CodeArray& which, auto& array) {
        array = std::remove_reference_t<decltype(array)>(n_blocks * which.per_block);
    });
}

std::size_t CodeBlocks::bytes() const {
    std::size_t words = positions.size() + copies.size();
    for (const auto& kind : rungs) {
        for (const RungBlocks& rung : kind) {
            words += rung.blocks.size() + rung.mul.size();
            for (const auto& term : rung.add) words += term.size();
        }
    }
    return words * 4 + valid.size() * 2;
}

Page::Page(const CodeForms& forms, int n_rows)
    : Page(forms.has_any() ? std::make_unique<CodeBlocks>(forms, n_rows) : nullptr, n_rows) {}

Page::Page(std::unique_ptr<CodeBlocks> blocks, int n_rows)
    : codes(std::move(blocks)),
      rows(static_cast<std::size_t>(n_rows)),
      ids(static_cast<std::size_t>(n_rows)) {}

void Extent::add(const Extent& other) {
    n_rows += other.n_rows;
    norm_sum += other.norm_sum;
    widen(other);
}

void Extent::widen(const Extent& other) {
    least_ratio = std::min(least_ratio, other.least_ratio);
    largest_norm = std::max(largest_norm, other.largest_norm);
    for (int kind = 0; kind < kCodeKinds; ++kind) code_reach[kind] = std::max(code_reach[kind], other.code_reach[kind]);
}

std::int64_t Snapshot::find(std::int64_t wanted) const {
    if (ids_ascend) {
        std::int64_t low = 0, high = n_positions;
        while (low < high) {
            const std::int64_t middle = low + (high - low) / 2;
            if (id(middle) < wanted) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low < n_positions && id(low) == wanted && is_live(low) ? low : -1;
    }
    for (std::int64_t position = 0; position < n_positions; ++position) {
        if (id(position) == wanted && is_live(position)) return position;
    }
    return -1;
}

SnapshotRows::SnapshotRows(const Snapshot& snapshot)
    : pages_{nullptr, nullptr, snapshot.page_rows, snapshot.n_positions, snapshot.options.n_cols, snapshot.options.dtype},
      codes_{{}, {}, snapshot.forms->rotation(), 0, snapshot.page_rows, snapshot.knows_copies && snapshot.ids_ascend} {
    for (const PageView& view : *snapshot.pages) {
        rows_.push_back(view.page->rows.data());
        ids_.push_back(view.page->ids.data());
    }
    for (const CodeKind kind : kAllKinds) {
        if (!snapshot.forms->has(kind)) continue;
        std::vector<Panel>& panels = panels_[static_cast<int>(kind)];
        for (const PageView& view : *snapshot.pages) {
            if (view.extent.n_rows > 0) panels.push_back(make_panel(*snapshot.forms, *view.page->codes, view.extent, kind));
        }
        if (snapshot.tail != nullptr) panels.push_back(make_panel(*snapshot.forms, *snapshot.tail, snapshot.tail_extent, kind));
        codes_.panels[static_cast<int>(kind)] = panels.data();
        codes_.planes[static_cast<int>(kind)] = snapshot.forms->plane(kind);
        codes_.n_panels = panels.size();
    }
    if (rows_.empty()) {  // a table that is not null says that rows are paged
        rows_.push_back(nullptr);
        ids_.push_back(nullptr);
    }
    pages_.rows = rows_.data();
    pages_.ids = ids_.data();
}

}  // namespace embmath::engine
