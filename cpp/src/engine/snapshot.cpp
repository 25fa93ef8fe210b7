#include "engine/snapshot.hpp"

#include <algorithm>
#include <cstring>

namespace embmath::engine {

namespace {

template <class T>
void copy_array(const runtime::AlignedArray<T>& from, runtime::AlignedArray<T>& to) {
    to = runtime::AlignedArray<T>(from.size());
    std::memcpy(to.data(), from.data(), from.size() * sizeof(T));
}

Panel make_panel(const CodeBlocks& codes, const Extent& extent) {
    const double least_ratio = extent.least_ratio == core::kInfinity ? 0.0 : extent.least_ratio;  // zeros only
    return {codes.blocks.data(), codes.block_words, codes.mul.data(),
            {codes.add[0].data(), codes.add[1].data(), codes.add[2].data()}, codes.positions.data(), codes.copies.data(),
            codes.valid.data(), extent.n_rows, least_ratio, extent.norm_sum / std::max(extent.n_rows, 1)};
}

}  // namespace

CodeBlocks::CodeBlocks(std::size_t words, int rows)
    : block_words(words),
      n_rows(rows),
      blocks(static_cast<std::size_t>(blocks_of(rows)) * words),
      mul(static_cast<std::size_t>(blocks_of(rows) * kBlockRows)),
      positions(mul.size()),
      copies(mul.size()),
      valid(static_cast<std::size_t>(blocks_of(rows))) {
    for (auto& each : add) each = runtime::AlignedArray<float>(mul.size());
}

CodeBlocks::CodeBlocks(const CodeBlocks& other) : block_words(other.block_words), n_rows(other.n_rows) {
    copy_array(other.blocks, blocks);
    copy_array(other.mul, mul);
    for (int i = 0; i < core::kMaxTerms; ++i) copy_array(other.add[i], add[i]);
    copy_array(other.positions, positions);
    copy_array(other.copies, copies);
    copy_array(other.valid, valid);
}

std::size_t CodeBlocks::bytes() const {
    return blocks.size() * 4 + mul.size() * (3 + core::kMaxTerms) * 4 + valid.size() * 2;
}

Page::Page(std::size_t block_words, int n_rows, bool has_codes)
    : codes(has_codes ? std::make_unique<CodeBlocks>(block_words, n_rows) : nullptr),
      rows(static_cast<std::size_t>(n_rows)),
      ids(static_cast<std::size_t>(n_rows)) {}

void Extent::add(const Extent& other) {
    n_rows += other.n_rows;
    least_ratio = std::min(least_ratio, other.least_ratio);
    norm_sum += other.norm_sum;
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
      codes_{nullptr, 0, snapshot.page_rows, snapshot.knows_copies && snapshot.ids_ascend},
      has_codes_(snapshot.options.has_codes) {
    for (const PageView& view : *snapshot.pages) {
        rows_.push_back(view.page->rows.data());
        ids_.push_back(view.page->ids.data());
        if (has_codes_ && view.extent.n_rows > 0) panels_.push_back(make_panel(*view.page->codes, view.extent));
    }
    if (snapshot.tail != nullptr) panels_.push_back(make_panel(*snapshot.tail, snapshot.tail_extent));
    if (rows_.empty()) {  // a table that is not null says that rows are paged
        rows_.push_back(nullptr);
        ids_.push_back(nullptr);
    }
    pages_.rows = rows_.data();
    pages_.ids = ids_.data();
    codes_.panels = panels_.data();
    codes_.n_panels = panels_.size();
}

}  // namespace embmath::engine
