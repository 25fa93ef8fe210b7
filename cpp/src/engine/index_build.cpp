// Rows into pages: where they lie, who keeps them, their codes.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "core/dtype.hpp"
#include "engine/block_encoder.hpp"
#include "engine/index_store.hpp"
#include "runtime/parallel.hpp"

namespace embmath::engine {

namespace {

std::int64_t whole_blocks(std::int64_t rows) { return rows / kBlockRows * kBlockRows; }

}  // namespace

// Contiguous, aligned rows stay where they are, unless the index is to keep its own.
IndexStore::NewRows IndexStore::locate(const MatrixView& rows, std::shared_ptr<const void> owner,
                                       const Execution& execution) {
    const RowReader reader(rows, rows.n_cols);
    if (options_.copies_rows || !reader.is_direct()) return copy(reader, execution);
    NewRows added;
    added.segments.push_back({rows.n_rows, std::move(owner), false});
    added.rows.reserve(static_cast<std::size_t>(rows.n_rows));
    for (std::int64_t i = 0; i < rows.n_rows; ++i) added.rows.push_back(reader.row(i, nullptr));
    return added;
}

// Into slabs that double, so that many small additions share one.
IndexStore::NewRows IndexStore::copy(const RowReader& reader, const Execution& execution) {
    constexpr std::size_t kAlignment = 64;
    const std::size_t row_bytes = reader.n_cols() * core::size_of(reader.dtype());
    const std::size_t wanted = static_cast<std::size_t>(reader.n_rows()) * row_bytes;
    if (slab_used_ + wanted > slab_size_) {
        const std::size_t size = std::max({wanted, 2 * slab_size_ > (64u << 20) ? std::size_t{64} << 20 : 2 * slab_size_, 64 * row_bytes});
        require_memory(size, "Index: rows");
        const std::size_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
        auto* memory = static_cast<std::byte*>(std::aligned_alloc(kAlignment, std::max(rounded, kAlignment)));
        if (memory == nullptr) throw std::bad_alloc();
        slab_ = std::shared_ptr<std::byte>(memory, [](std::byte* p) { std::free(p); });
        slab_used_ = 0;
        slab_size_ = rounded;
    }
    NewRows added;
    added.segments.push_back({reader.n_rows(), slab_, true});
    runtime::AlignedArray<std::byte> scratch(reader.scratch_bytes(1));
    runtime::run(execution, 1, 0, [&](runtime::Worker& worker) {
        for (std::int64_t i = 0; i < reader.n_rows(); ++i) {
            if (i % 256 == 0) worker.checkpoint();
            std::byte* out = slab_.get() + slab_used_;
            std::memcpy(out, reader.row(i, scratch.data()), row_bytes);
            added.rows.push_back(out);
            slab_used_ += row_bytes;
        }
    });
    return added;
}

Snapshot IndexStore::appended(const Snapshot& now, const kernel::KernelTable& table, const NewRows& added,
                              const Execution& execution) {
    Snapshot next = now;
    const auto n = static_cast<std::int64_t>(added.rows.size());
    if (n == 0) return next;
    next.n_positions += n;
    next.n_live += n;
    auto pages = std::make_shared<std::vector<PageView>>(*now.pages);
    const auto wanted = static_cast<std::size_t>((next.n_positions + now.page_rows - 1) / now.page_rows);
    const std::uint64_t page_bytes = forms_->bytes_per_row() + 16;
    require_memory((wanted - pages->size()) * page_bytes * static_cast<std::uint64_t>(now.page_rows), "Index: codes");
    while (pages->size() < wanted) {
        pages->push_back({std::make_shared<Page>(*forms_, now.page_rows), {}});
    }
    for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t position = now.n_positions + i;
        Page& page = *(*pages)[static_cast<std::size_t>(position / now.page_rows)].page;
        page.rows[static_cast<std::size_t>(position % now.page_rows)] = added.rows[static_cast<std::size_t>(i)];
        const std::int64_t id = added.ids[static_cast<std::size_t>(i)];
        page.ids[static_cast<std::size_t>(position % now.page_rows)] = id;
        next.ids_ascend = next.ids_ascend && (position == 0 || id >= next.next_id);
        next.next_id = std::max(next.next_id, id + 1);
    }
    if (now.live != nullptr) {
        auto live = std::make_shared<std::vector<std::uint8_t>>(*now.live);
        live->resize(static_cast<std::size_t>(next.n_positions), 1);
        next.live = std::move(live);
    }
    if (forms_->has_any()) encode(next, table, *pages, now.n_positions, execution);
    // Last, so that rows of an addition that was stopped are let go.
    std::int64_t position = now.n_positions;
    for (const Segment& segment : added.segments) {
        if (segment.is_copy) next.n_copied += segment.n;
        for (const std::int64_t end = position + segment.n; position < end;) {
            const std::int64_t first = position % now.page_rows;
            const std::int64_t in_page = std::min(end - position, now.page_rows - first);
            Page& page = *(*pages)[static_cast<std::size_t>(position / now.page_rows)].page;
            page.owners.push_back({static_cast<int>(first), static_cast<int>(in_page), segment.owner, segment.is_copy});
            position += in_page;
        }
    }
    next.pages = std::move(pages);
    return next;
}

// Codes of the rows from `first` on, with those of the last tail, which becomes part of a whole block.
void IndexStore::encode(Snapshot& next, const kernel::KernelTable& table, std::vector<PageView>& pages, std::int64_t first,
                        const Execution& execution) const {
    std::vector<const void* const*> tables;
    for (const PageView& view : pages) tables.push_back(view.page->rows.data());
    const RowReader reader(PagedRows{tables.data(), nullptr, next.page_rows, next.n_positions, options_.n_cols, options_.dtype});
    const std::int64_t begin = whole_blocks(first), end = whole_blocks(next.n_positions);
    const std::int64_t first_page = begin / next.page_rows, last_page = (end + next.page_rows - 1) / next.page_rows;
    // A row in codes takes as long as scoring it a few times, rotated once for every dimension.
    const double per_element = forms_->rotation() != nullptr ? static_cast<double>(options_.n_cols) : 4.0;
    const double work = static_cast<double>(end - begin) * static_cast<double>(options_.n_cols) * per_element;
    std::vector<Extent> grown(pages.size());
    runtime::Tasks tasks(last_page - first_page);
    const int workers = static_cast<int>(std::clamp<std::int64_t>(last_page - first_page, 1, runtime::worker_count(execution, work)));
    runtime::run(execution, workers, end - begin, [&](runtime::Worker& worker) {
        BlockEncoder encoder(table, options_.metric, *forms_, reader);
        for (std::int64_t task; tasks.take(task);) {
            const std::int64_t page = first_page + task, base = page * next.page_rows;
            const std::int64_t page_end = std::min(end, base + next.page_rows);
            CodeBlocks& codes = *pages[static_cast<std::size_t>(page)].page->codes;
            for (std::int64_t row = std::max(begin, base); row < page_end; row += BlockEncoder::kMostRows) {
                worker.checkpoint();
                const auto n = static_cast<int>(std::min<std::int64_t>(BlockEncoder::kMostRows, page_end - row));
                grown[static_cast<std::size_t>(page)].add(encoder.encode(row, n, codes, static_cast<int>((row - base) / kBlockRows)));
                worker.advance(n);
            }
        }
    });
    for (std::size_t page = 0; page < pages.size(); ++page) pages[page].extent.add(grown[page]);
    next.tail = nullptr;
    next.tail_extent = {};
    std::shared_ptr<CodeBlocks> tail;
    if (end < next.n_positions) {
        tail = std::make_shared<CodeBlocks>(*forms_, kBlockRows);
        BlockEncoder encoder(table, options_.metric, *forms_, reader);
        next.tail_extent = encoder.encode(end, static_cast<int>(next.n_positions - end), *tail, 0);
    }
    // Flags so far; a row's number of copies is one more than that of the row before it, which may
    // lie in a page that is only read.
    const auto codes_of = [&](std::int64_t position) -> CodeBlocks& {
        return position >= end ? *tail : *pages[static_cast<std::size_t>(position / next.page_rows)].page->codes;
    };
    const auto place_of = [&](std::int64_t position) {
        return static_cast<std::size_t>(position >= end ? position - end : position % next.page_rows);
    };
    std::uint32_t run = begin == 0 ? 0 : std::as_const(codes_of(begin - 1)).copies[place_of(begin - 1)];
    for (std::int64_t row = begin; row < next.n_positions; ++row) {
        std::uint32_t& copies = codes_of(row).copies[place_of(row)];
        copies = run = copies == 0 ? 0 : run + 1;
    }
    next.tail = std::move(tail);
}

// The rows that are left, in order, with those of their owners that still have any.
IndexStore::NewRows IndexStore::live_rows(const Snapshot& now) const {
    NewRows kept;
    for (std::size_t p = 0; p < now.pages->size(); ++p) {
        std::vector<Owned> owners = (*now.pages)[p].page->owners;
        std::sort(owners.begin(), owners.end(), [](const Owned& a, const Owned& b) { return a.first < b.first; });
        for (const Owned& owned : owners) {
            std::int64_t n = 0;
            for (int row = owned.first; row < owned.first + owned.n_rows; ++row) {
                const std::int64_t position = static_cast<std::int64_t>(p) * now.page_rows + row;
                if (position >= now.n_positions || !now.is_live(position)) continue;
                kept.rows.push_back(now.row(position));
                kept.ids.push_back(now.id(position));
                ++n;
            }
            if (n > 0) kept.segments.push_back({n, owned.owner, owned.is_copy});
        }
    }
    return kept;
}

Snapshot IndexStore::compacted(const Snapshot& now, const kernel::KernelTable& table, const Execution& execution) {
    NewRows kept = live_rows(now);
    if (options_.copies_rows && !kept.rows.empty()) {
        slab_.reset();
        slab_used_ = slab_size_ = 0;
        const void* const* rows = kept.rows.data();
        const auto n = static_cast<std::int64_t>(kept.rows.size());
        const RowReader reader(PagedRows{&rows, nullptr, n, n, options_.n_cols, options_.dtype});
        NewRows own = copy(reader, execution);
        own.ids = std::move(kept.ids);
        kept = std::move(own);
    }
    Snapshot empty;
    empty.options = options_;
    empty.forms = forms_;
    empty.page_rows = now.page_rows;
    Snapshot next = appended(empty, table, kept, execution);
    next.next_id = now.next_id;
    return next;
}

}  // namespace embmath::engine
