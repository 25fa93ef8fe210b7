#include "engine/index_store.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <unordered_set>

#include "core/dtype.hpp"
#include "embmath/errors.hpp"
#include "engine/code_stage.hpp"
#include "engine/plan.hpp"
#include "runtime/parallel.hpp"

namespace embmath::engine {

namespace {

constexpr std::int64_t kMaxPositions = std::int64_t{1} << 31;

std::int64_t whole_blocks(std::int64_t rows) { return rows / kBlockRows * kBlockRows; }

// Packs rows [first, first + n), n <= 16, into one block of `out`; says what the bounds need to know.
Extent encode_block(CodePacker& packer, const RowReader& reader, std::int64_t first, int n, CodeBlocks& out, int block) {
    std::int64_t rows[kBlockRows];
    for (int lane = 0; lane < n; ++lane) rows[lane] = first + lane;
    BlockTerms terms;
    packer.pack(rows, n, out.blocks.data() + static_cast<std::size_t>(block) * out.block_words, terms);
    Extent extent{n, terms.least_ratio, 0.0};
    unsigned valid = 0;
    for (int lane = 0; lane < kBlockRows; ++lane) {
        const auto i = static_cast<std::size_t>(block * kBlockRows + lane);
        const bool is_row = lane < n;
        out.mul[i] = is_row ? terms.row[lane].mul : 0.0F;
        for (int term = 0; term < core::kMaxTerms; ++term) out.add[term][i] = is_row ? terms.row[lane].add[term] : 0.0F;
        out.positions[i] = is_row ? static_cast<std::uint32_t>(first + lane) : 0u;
        out.copies[i] = is_row && reader.repeats_previous(first + lane) ? 1u : 0u;
        if (!is_row || std::isnan(terms.norm[lane])) continue;
        valid |= 1u << lane;
        if (terms.norm[lane] < core::kInfinity) extent.norm_sum += terms.norm[lane];
    }
    out.valid[static_cast<std::size_t>(block)] = static_cast<std::uint16_t>(valid);
    return extent;
}

// Gives one row of a page to another owner; returns by how much the number of copied rows changes.
int replace_owner(std::vector<Owned>& owners, const Owned& fresh) {
    for (Owned& old : owners) {
        const int after = old.first + old.n_rows - fresh.first - 1;
        if (fresh.first < old.first || after < 0) continue;
        const Owned rest{fresh.first + 1, after, old.owner, old.is_copy};
        const int change = (fresh.is_copy ? 1 : 0) - (old.is_copy ? 1 : 0);
        old.n_rows = fresh.first - old.first;
        if (old.n_rows == 0) {
            old = fresh;
        } else {
            owners.push_back(fresh);
        }
        if (after > 0) owners.push_back(rest);
        return change;
    }
    return 0;
}

}  // namespace

IndexStore::IndexStore(const IndexOptions& options)
    : options_(options), block_words_(CodePacker::block_words(static_cast<std::size_t>(options.n_cols))) {
    auto empty = std::make_shared<Snapshot>();
    empty->options = options;
    empty->page_rows = chunk_rows_for((static_cast<std::size_t>(options.n_cols) + 3) / 4);
    current_ = std::move(empty);
}

std::shared_ptr<const Snapshot> IndexStore::current() const {
    const std::lock_guard lock(showing_);
    return current_;
}

void IndexStore::show(Snapshot next) {
    auto shown = std::make_shared<const Snapshot>(std::move(next));
    const std::lock_guard lock(showing_);
    current_.swap(shown);
}

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

void IndexStore::choose_ids(const Snapshot& now, const std::int64_t* ids, NewRows& added) const {
    const auto n = static_cast<std::int64_t>(added.rows.size());
    if (ids == nullptr && now.next_id > std::numeric_limits<std::int64_t>::max() - n) {
        throw ValueError("ids: must be given, no " + std::to_string(n) + " numbers are left after " + std::to_string(now.next_id - 1));
    }
    for (std::size_t i = 0; i < added.rows.size(); ++i) {
        added.ids.push_back(ids == nullptr ? now.next_id + static_cast<std::int64_t>(i) : ids[i]);
    }
}

void IndexStore::check_new_ids(const Snapshot& now, const std::vector<std::int64_t>& ids) {
    std::int64_t last = now.n_positions == 0 ? -1 : now.next_id - 1;
    bool ascend = now.ids_ascend;
    for (const std::int64_t id : ids) {
        if (id < 0 || id == std::numeric_limits<std::int64_t>::max()) {
            throw ValueError("ids: must be between 0 and 2^63 - 2, got " + std::to_string(id));
        }
        ascend = ascend && id > last;
        last = std::max(last, id);
    }
    if (ascend) return;
    std::unordered_set<std::int64_t> seen;
    const std::vector<std::int64_t> none;
    for (const std::int64_t id : ids) {
        const bool is_known = now.ids_ascend ? now.find(id) >= 0 : positions_.count(id) != 0;
        if (is_known || !seen.insert(id).second) throw ValueError("ids: " + std::to_string(id) + " is there already");
    }
}

std::vector<std::int64_t> IndexStore::add(const kernel::KernelTable& table, const MatrixView& rows, const std::int64_t* ids,
                                          std::shared_ptr<const void> owner, const Execution& execution) {
    const runtime::TurnTaker::Turn turn(changes_, execution, "index");
    const std::shared_ptr<const Snapshot> now = current();
    if (now->n_positions + rows.n_rows >= kMaxPositions) {
        throw ValueError("rows: an index holds fewer than 2^31 rows, got " + std::to_string(now->n_positions + rows.n_rows));
    }
    if (ids != nullptr) check_new_ids(*now, {ids, ids + rows.n_rows});
    NewRows added = locate(rows, std::move(owner), execution);
    choose_ids(*now, ids, added);
    Snapshot next = appended(*now, table, added, execution);
    if (!next.ids_ascend) {
        const std::int64_t from = now->ids_ascend ? 0 : now->n_positions;
        for (std::int64_t i = from; i < next.n_positions; ++i) {
            if (next.is_live(i)) positions_[next.id(i)] = i;
        }
    }
    show(std::move(next));
    return std::move(added.ids);
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
    const std::uint64_t page_bytes = (options_.has_codes ? block_words_ / 4 + 24 : 0) + 16;
    require_memory((wanted - pages->size()) * page_bytes * static_cast<std::uint64_t>(now.page_rows), "Index: codes");
    while (pages->size() < wanted) {
        pages->push_back({std::make_shared<Page>(block_words_, now.page_rows, options_.has_codes), {}});
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
    if (options_.has_codes) encode(next, table, *pages, now.n_positions, execution);
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
    const double work = static_cast<double>(end - begin) * static_cast<double>(options_.n_cols) * 4.0;
    std::vector<Extent> grown(pages.size());
    runtime::Tasks tasks(last_page - first_page);
    const int workers = static_cast<int>(std::clamp<std::int64_t>(last_page - first_page, 1, runtime::worker_count(execution, work)));
    runtime::run(execution, workers, end - begin, [&](runtime::Worker& worker) {
        CodePacker packer(table, options_.metric, reader);
        for (std::int64_t task; tasks.take(task);) {
            const std::int64_t page = first_page + task, base = page * next.page_rows;
            CodeBlocks& codes = *pages[static_cast<std::size_t>(page)].page->codes;
            for (std::int64_t row = std::max(begin, base); row < std::min(end, base + next.page_rows); row += kBlockRows) {
                worker.checkpoint();
                grown[static_cast<std::size_t>(page)].add(
                    encode_block(packer, reader, row, kBlockRows, codes, static_cast<int>((row - base) / kBlockRows)));
                worker.advance(kBlockRows);
            }
        }
    });
    for (std::size_t page = 0; page < pages.size(); ++page) pages[page].extent.add(grown[page]);
    next.tail = nullptr;
    next.tail_extent = {};
    std::shared_ptr<CodeBlocks> tail;
    if (end < next.n_positions) {
        tail = std::make_shared<CodeBlocks>(block_words_, kBlockRows);
        CodePacker packer(table, options_.metric, reader);
        next.tail_extent = encode_block(packer, reader, end, static_cast<int>(next.n_positions - end), *tail, 0);
    }
    // Flags so far; a row's number of copies is one more than that of the row before it.
    const auto copies_of = [&](std::int64_t position) -> std::uint32_t& {
        if (position >= end) return tail->copies[static_cast<std::size_t>(position - end)];
        return pages[static_cast<std::size_t>(position / next.page_rows)].page->codes->copies[static_cast<std::size_t>(position % next.page_rows)];
    };
    for (std::int64_t row = std::max<std::int64_t>(begin, 1); row < next.n_positions; ++row) {
        if (copies_of(row) != 0) copies_of(row) = copies_of(row - 1) + 1;
    }
    next.tail = std::move(tail);
}

std::vector<std::int64_t> IndexStore::find_all(const Snapshot& now, const std::int64_t* ids, std::int64_t n) {
    std::vector<std::int64_t> positions;
    std::unordered_set<std::int64_t> seen;
    for (std::int64_t i = 0; i < n; ++i) {
        std::int64_t position = -1;
        if (now.ids_ascend) {
            position = now.find(ids[i]);
        } else if (const auto found = positions_.find(ids[i]); found != positions_.end()) {
            position = found->second;
        }
        if (position < 0) throw ValueError("ids: " + std::to_string(ids[i]) + " is not in the index");
        if (!seen.insert(position).second) throw ValueError("ids: " + std::to_string(ids[i]) + " is given twice");
        positions.push_back(position);
    }
    return positions;
}

// A changed page is copied: searches under way still read the old one.
void IndexStore::update(const kernel::KernelTable& table, const std::int64_t* ids, const MatrixView& rows,
                        std::shared_ptr<const void> owner, const Execution& execution) {
    const runtime::TurnTaker::Turn turn(changes_, execution, "index");
    const std::shared_ptr<const Snapshot> now = current();
    const std::vector<std::int64_t> positions = find_all(*now, ids, rows.n_rows);
    if (positions.empty()) return;
    const NewRows added = locate(rows, std::move(owner), execution);
    const Segment& segment = added.segments.front();
    Snapshot next = *now;
    next.knows_copies = false;
    auto pages = std::make_shared<std::vector<PageView>>(*now->pages);
    for (std::size_t i = 0; i < positions.size(); ++i) {
        PageView& view = (*pages)[static_cast<std::size_t>(positions[i] / now->page_rows)];
        if (view.page == (*now->pages)[static_cast<std::size_t>(positions[i] / now->page_rows)].page) {
            auto fresh = std::make_shared<Page>(block_words_, now->page_rows, false);
            if (view.page->codes != nullptr) fresh->codes = std::make_unique<CodeBlocks>(*view.page->codes);
            std::copy(view.page->rows.begin(), view.page->rows.end(), fresh->rows.begin());
            std::copy(view.page->ids.begin(), view.page->ids.end(), fresh->ids.begin());
            fresh->owners = view.page->owners;
            view.page = std::move(fresh);
        }
        const auto row = static_cast<int>(positions[i] % now->page_rows);
        view.page->rows[static_cast<std::size_t>(row)] = added.rows[i];
        next.n_copied += replace_owner(view.page->owners, {row, 1, segment.owner, segment.is_copy});
    }
    next.pages = pages;
    if (options_.has_codes) {
        const SnapshotRows places(next);
        const RowReader reader = places.reader();
        CodePacker packer(table, options_.metric, reader);
        const std::int64_t end = whole_blocks(next.n_positions);
        std::shared_ptr<CodeBlocks> tail;
        for (const std::int64_t position : positions) {
            const std::int64_t first = whole_blocks(position);
            if (first >= end) {
                if (tail == nullptr) tail = std::make_shared<CodeBlocks>(block_words_, kBlockRows);
                next.tail_extent = encode_block(packer, reader, end, static_cast<int>(next.n_positions - end), *tail, 0);
                continue;
            }
            // The extent keeps the old least ratio if that is smaller: a looser bound, never a wrong one.
            PageView& view = (*pages)[static_cast<std::size_t>(position / next.page_rows)];
            const auto block = static_cast<int>(first % next.page_rows / kBlockRows);
            const Extent fresh = encode_block(packer, reader, first, kBlockRows, *view.page->codes, block);
            view.extent.least_ratio = std::min(view.extent.least_ratio, fresh.least_ratio);
        }
        if (tail != nullptr) next.tail = std::move(tail);
    }
    show(std::move(next));
}

void IndexStore::remove(const kernel::KernelTable& table, const std::int64_t* ids, std::int64_t n, const Execution& execution) {
    const runtime::TurnTaker::Turn turn(changes_, execution, "index");
    const std::shared_ptr<const Snapshot> now = current();
    const std::vector<std::int64_t> positions = find_all(*now, ids, n);
    if (positions.empty()) return;
    Snapshot next = *now;
    auto live = now->live != nullptr ? std::make_shared<std::vector<std::uint8_t>>(*now->live)
                                     : std::make_shared<std::vector<std::uint8_t>>(static_cast<std::size_t>(now->n_positions), 1);
    for (const std::int64_t position : positions) (*live)[static_cast<std::size_t>(position)] = 0;
    next.live = std::move(live);
    next.n_live -= static_cast<std::int64_t>(positions.size());
    // Half of the places empty: the rest moves together, at a cost that the removals have paid for.
    const bool is_sparse = 2 * next.n_live <= next.n_positions;
    if (is_sparse) next = compacted(next, table, execution);
    if (!next.ids_ascend) {
        if (is_sparse) positions_.clear();
        for (std::int64_t i = 0; is_sparse && i < next.n_positions; ++i) positions_[next.id(i)] = i;
        for (std::int64_t i = 0; !is_sparse && i < n; ++i) positions_.erase(ids[i]);
    } else {
        positions_.clear();
    }
    show(std::move(next));
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
    empty.page_rows = now.page_rows;
    Snapshot next = appended(empty, table, kept, execution);
    next.next_id = now.next_id;
    return next;
}

}  // namespace embmath::engine
