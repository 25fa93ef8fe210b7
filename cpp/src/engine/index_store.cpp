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
#include "engine/block_encoder.hpp"
#include "engine/plan.hpp"
#include "engine/saved_index.hpp"
#include "runtime/parallel.hpp"

namespace embmath::engine {

namespace {

constexpr std::int64_t kMaxPositions = std::int64_t{1} << 31;

std::int64_t whole_blocks(std::int64_t rows) { return rows / kBlockRows * kBlockRows; }

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

IndexStore::IndexStore(const kernel::KernelTable& table, const IndexOptions& options)
    : options_(options), forms_(std::make_shared<const CodeForms>(table, options)) {
    auto empty = std::make_shared<Snapshot>();
    empty->options = options;
    empty->forms = forms_;
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

void IndexStore::restore(const kernel::KernelTable& table, const SavedIndex& saved, const Execution& execution) {
    const runtime::TurnTaker::Turn turn(changes_, execution, "index");
    Snapshot next = restored(*current(), saved, execution);
    if (forms_->has_any() && !saved.has_codes) {
        auto pages = *next.pages;
        encode(next, table, pages, 0, execution);
        next.pages = std::make_shared<const std::vector<PageView>>(std::move(pages));
    }
    if (!next.ids_ascend) locate_ids(next);
    show(std::move(next));
}

// Once ids do not ascend they are looked up in a table.
void IndexStore::locate_ids(const Snapshot& now) {
    positions_.clear();
    positions_.reserve(static_cast<std::size_t>(now.n_live));
    for (std::int64_t position = 0; position < now.n_positions; ++position) {
        if (!now.is_live(position)) continue;
        const std::int64_t id = now.id(position);
        if (!positions_.emplace(id, position).second) throw ValueError("ids: " + std::to_string(id) + " is there twice");
    }
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
            const CodeBlocks* codes = view.page->codes.get();
            auto fresh = std::make_shared<Page>(codes == nullptr ? nullptr : std::make_unique<CodeBlocks>(*codes), now->page_rows);
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
    if (forms_->has_any()) {
        const SnapshotRows places(next);
        const RowReader reader = places.reader();
        BlockEncoder encoder(table, options_.metric, *forms_, reader);
        const std::int64_t end = whole_blocks(next.n_positions);
        std::shared_ptr<CodeBlocks> tail;
        for (const std::int64_t position : positions) {
            const std::int64_t first = whole_blocks(position);
            if (first >= end) {
                if (tail == nullptr) tail = std::make_shared<CodeBlocks>(*forms_, kBlockRows);
                next.tail_extent = encoder.encode(end, static_cast<int>(next.n_positions - end), *tail, 0);
                continue;
            }
            // The extent keeps what the old row said if that is wider: a looser bound, never a wrong one.
            PageView& view = (*pages)[static_cast<std::size_t>(position / next.page_rows)];
            const auto block = static_cast<int>(first % next.page_rows / kBlockRows);
            view.extent.widen(encoder.encode(first, kBlockRows, *view.page->codes, block));
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

}  // namespace embmath::engine
