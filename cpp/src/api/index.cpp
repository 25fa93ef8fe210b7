#include "embmath/index.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <unordered_map>

#include "api/search_call.hpp"
#include "core/dtype.hpp"
#include "dispatch/registry.hpp"
#include "embmath/errors.hpp"
#include "engine/code_stage.hpp"
#include "engine/index_store.hpp"
#include "engine/saved_index.hpp"

namespace embmath {

namespace {

// Masks come in the order of the ids, the engine wants them by position: the same until rows go.
class PositionMask {
public:
    PositionMask(const engine::Snapshot& snapshot, const SearchOptions& options, std::int64_t n_queries) {
        const auto n = static_cast<std::size_t>(snapshot.n_positions);
        if (snapshot.live == nullptr) {
            permission_.mask = options.mask;
            permission_.mask_stride = options.mask_stride;
            return;
        }
        if (options.mask == nullptr) {
            permission_.mask = snapshot.live->data();
            return;
        }
        const std::int64_t n_masks = options.mask_stride == 0 ? 1 : n_queries;
        require_memory(static_cast<std::uint64_t>(n_masks) * n, "mask: by position");
        spread_.assign(static_cast<std::size_t>(n_masks) * n, 0);
        for (std::int64_t i = 0; i < n_masks; ++i) {
            const std::uint8_t* given = options.mask + i * options.mask_stride;
            std::uint8_t* out = spread_.data() + static_cast<std::size_t>(i) * n;
            for (std::size_t position = 0; position < n; ++position) {
                if ((*snapshot.live)[position] != 0) out[position] = *given++;
            }
        }
        permission_.mask = spread_.data();
        permission_.mask_stride = options.mask_stride == 0 ? 0 : snapshot.n_positions;
    }

    const engine::Permission& permission() const { return permission_; }

private:
    std::vector<std::uint8_t> spread_;
    engine::Permission permission_;
};

// Everything a search of a snapshot refers to.
class SnapshotSearch {
public:
    SnapshotSearch(const engine::Snapshot& snapshot, const MatrixView& queries, const SearchOptions& options,
                   const Execution& execution)
        : rows_(snapshot), mask_(snapshot, options, queries.n_rows) {
        if (queries.n_cols != snapshot.options.n_cols) {
            throw ValueError("queries: expected " + std::to_string(snapshot.options.n_cols) + " columns like the index, got " +
                             std::to_string(queries.n_cols));
        }
        engine::Permission permission = mask_.permission();
        permission.exclude_self = options.exclude_self;
        if (options.exclude_self) {
            own_rows_ = positions_of_numbers(snapshot, queries.n_rows);
            permission.own_rows = own_rows_.data();
        }
        // Codes speak of whole rows: leading columns alone are searched as those of an array.
        const bool is_whole = options.n_cols == snapshot.options.n_cols;
        call_.emplace(queries, rows_.reader(options.n_cols), is_whole ? rows_.codes() : nullptr, snapshot.forms->has_any(),
                      snapshot.ids_ascend, permission, options, execution);
    }

    const api::SearchCall& call() const { return *call_; }

private:
    // Where the rows with ids 0, 1, ..., n - 1 are; -1 for none.
    static std::vector<std::int64_t> positions_of_numbers(const engine::Snapshot& snapshot, std::int64_t n) {
        std::vector<std::int64_t> positions(static_cast<std::size_t>(n), -1);
        for (std::int64_t position = 0; position < snapshot.n_positions; ++position) {
            const std::int64_t id = snapshot.id(position);
            if (id < n && snapshot.is_live(position)) positions[static_cast<std::size_t>(id)] = position;
        }
        return positions;
    }

    engine::SnapshotRows rows_;
    PositionMask mask_;
    std::vector<std::int64_t> own_rows_;
    std::optional<api::SearchCall> call_;
};

SearchOptions complete(const engine::Snapshot& snapshot, SearchOptions options) {
    options.metric = snapshot.options.metric;
    if (options.n_cols == 0) options.n_cols = snapshot.options.n_cols;
    return options;
}

}  // namespace

const IndexOptions& IndexView::options() const { return snapshot_->options; }

std::int64_t IndexView::n_rows() const { return snapshot_->n_live; }

IndexStats IndexView::stats() const {
    const engine::Snapshot& s = *snapshot_;
    IndexStats stats;
    stats.rows = s.n_live;
    stats.removed = s.n_positions - s.n_live;
    stats.pages = static_cast<std::int64_t>(s.pages->size());
    stats.copied_rows = s.n_copied;
    stats.row_bytes = static_cast<std::uint64_t>(s.n_copied) * static_cast<std::uint64_t>(s.options.n_cols) * core::size_of(s.options.dtype);
    for (const engine::PageView& view : *s.pages) {
        if (view.page->codes != nullptr) stats.code_bytes += view.page->codes->bytes();
        stats.table_bytes += view.page->rows.size() * (sizeof(void*) + sizeof(std::int64_t));
    }
    if (s.tail != nullptr) stats.code_bytes += s.tail->bytes();
    if (s.live != nullptr) stats.table_bytes += s.live->size();
    return stats;
}

void IndexView::ids(std::int64_t* out) const {
    for (std::int64_t position = 0; position < snapshot_->n_positions; ++position) {
        if (snapshot_->is_live(position)) *out++ = snapshot_->id(position);
    }
}

bool IndexView::contains(std::int64_t id) const { return snapshot_->find(id) >= 0; }

void IndexView::search(const MatrixView& queries, std::int64_t columns, const SearchOptions& options,
                       const Execution& execution, void* values, std::int64_t* ids) const {
    const SearchOptions all = complete(*snapshot_, options);
    SnapshotSearch(*snapshot_, queries, all, execution).call().run_top(columns, execution, values, ids);
}

RangeHits IndexView::range_search(const MatrixView& queries, const SearchOptions& options, const Execution& execution) const {
    const SearchOptions all = complete(*snapshot_, options);
    return SnapshotSearch(*snapshot_, queries, all, execution).call().run_range(execution);
}

void IndexView::reconstruct(const std::int64_t* ids, std::int64_t n, void* out) const {
    const engine::Snapshot& s = *snapshot_;
    const std::size_t row_bytes = static_cast<std::size_t>(s.options.n_cols) * core::size_of(s.options.dtype);
    std::unordered_map<std::int64_t, std::int64_t> positions;
    for (std::int64_t position = 0; !s.ids_ascend && position < s.n_positions; ++position) {
        if (s.is_live(position)) positions[s.id(position)] = position;
    }
    for (std::int64_t i = 0; i < n; ++i) {
        const auto found = positions.find(ids[i]);
        const std::int64_t position = s.ids_ascend ? s.find(ids[i]) : found == positions.end() ? -1 : found->second;
        if (position < 0) throw ValueError("ids: " + std::to_string(ids[i]) + " is not in the index");
        std::memcpy(static_cast<std::byte*>(out) + static_cast<std::size_t>(i) * row_bytes, s.row(position), row_bytes);
    }
}

SavedIndex IndexView::saved() const {
    SavedIndex saved;
    for (engine::SavedColumn& column : engine::saved_columns(*snapshot_)) saved.arrays.push_back(std::move(column.shape));
    saved.page_rows = snapshot_->page_rows;
    saved.next_id = snapshot_->next_id;
    saved.knows_copies = snapshot_->knows_copies;
    return saved;
}

void IndexView::read(std::size_t array, std::int64_t first, std::int64_t n, void* out) const {
    const engine::SavedColumn column = engine::saved_columns(*snapshot_).at(array);
    const std::int64_t length = column.shape.shape.front();
    if (first < 0 || n < 0 || first > length - n) {
        throw ValueError(column.shape.name + ": expected rows within " + std::to_string(length) + ", got " + std::to_string(n) +
                         " from " + std::to_string(first) + " on");
    }
    column.read(*snapshot_, first, n, out);
}

double IndexView::basis_defect() const {
    const engine::Rotation* rotation = snapshot_->forms->rotation();
    return rotation == nullptr ? 0.0 : rotation->eps();
}

namespace {

void check_options(const IndexOptions& options) {
    api::check_dtypes(options.metric, options.dtype, options.dtype, {"corpus", "corpus"});
    if (options.n_cols < 1) throw ValueError("dim: must be at least 1, got " + std::to_string(options.n_cols));
    const auto keeps = [&](CodeKind kind) { return options.codes[static_cast<int>(kind)]; };
    if (keeps(CodeKind::int8) && !engine::CodeStage::exists(options.metric, options.dtype, options.dtype, options.n_cols)) {
        throw ValueError("codes: 'int8' goes with cosine, dot, euclidean and sqeuclidean, up to " +
                         std::to_string(core::kMaxCodeDim) + " dimensions, got " + api::name_of(options.metric) + ", " +
                         std::to_string(options.n_cols));
    }
    if ((keeps(CodeKind::prefix) || keeps(CodeKind::int4)) &&
        !engine::PrefixPlane::exists(options.metric, options.dtype, options.n_cols)) {
        throw ValueError("codes: 'prefix' and 'int4' go with cosine, dot, euclidean and sqeuclidean of floating point rows, up to " +
                         std::to_string(engine::kMaxRotatedCols) + " dimensions, got " + api::name_of(options.metric) + ", " +
                         core::name_of(options.dtype) + ", " + std::to_string(options.n_cols));
    }
}

}  // namespace

Index::Index(const IndexOptions& options) {
    check_options(options);
    store_ = std::make_unique<engine::IndexStore>(dispatch::active(), options);
}

Index::Index(const IndexOptions& options, const SavedIndex& saved, const Execution& execution) : Index(options) {
    store_->restore(dispatch::active(), saved, execution);
}

Index::~Index() = default;

const IndexOptions& Index::options() const { return store_->options(); }

IndexView Index::view() const { return IndexView(store_->current()); }

namespace {

void check_rows(const IndexOptions& options, const MatrixView& rows) {
    if (rows.dtype != options.dtype) {
        throw TypeError(std::string("rows: expected dtype ") + core::name_of(options.dtype) + " like the index, got " +
                        core::name_of(rows.dtype));
    }
    if (rows.n_cols != options.n_cols) {
        throw ValueError("rows: expected " + std::to_string(options.n_cols) + " columns like the index, got " +
                         std::to_string(rows.n_cols));
    }
}

}  // namespace

std::vector<std::int64_t> Index::add(const MatrixView& rows, const std::int64_t* ids, std::shared_ptr<const void> owner,
                                     const Execution& execution) {
    check_rows(options(), rows);
    return store_->add(dispatch::active(), rows, ids, std::move(owner), execution);
}

void Index::update(const std::int64_t* ids, const MatrixView& rows, std::shared_ptr<const void> owner,
                   const Execution& execution) {
    check_rows(options(), rows);
    store_->update(dispatch::active(), ids, rows, std::move(owner), execution);
}

void Index::remove(const std::int64_t* ids, std::int64_t n, const Execution& execution) {
    store_->remove(dispatch::active(), ids, n, execution);
}

}  // namespace embmath
