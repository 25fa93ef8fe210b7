// Saved arrays into pages. Lengths, places and numbers in them are checked before they are used.
#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "core/dtype.hpp"
#include "embmath/errors.hpp"
#include "engine/saved_index.hpp"
#include "runtime/parallel.hpp"

namespace embmath::engine {

namespace {

constexpr std::int64_t kMaxPositions = std::int64_t{1} << 31;
// Other versions may prefer other pages than we make; workspaces grow with them.
constexpr std::int64_t kMostPageRows = 4096;
constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

std::string described(const SavedArray& array) {
    std::string text = array.type + " [";
    for (std::size_t i = 0; i < array.shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(array.shape[i]);
    return text + "]";
}

const SavedArray* find(const std::vector<SavedArray>& arrays, const std::string& name) {
    const auto found = std::find_if(arrays.begin(), arrays.end(), [&](const SavedArray& array) { return array.name == name; });
    return found == arrays.end() ? nullptr : &*found;
}

template <class T>
const T* items(const SavedArray& array) {
    return static_cast<const T*>(array.data);
}

class Restorer {
public:
    Restorer(const Snapshot& empty, const SavedIndex& saved) : saved_(saved), next_(empty) {
        check_numbers();
        match();
    }

    Snapshot run(runtime::Worker& worker) {
        require_memory(static_cast<std::uint64_t>(n_) * 21, "Index: ids and places");
        take_live();
        auto pages = std::make_shared<std::vector<PageView>>();
        for (std::int64_t first = 0; first < n_; first += next_.page_rows) {
            worker.checkpoint();
            pages->push_back(page(first));
        }
        next_.pages = std::move(pages);
        if (has_codes() && whole_ < n_) take_tail();
        if (next_.next_id <= last_id_) refuse("next_id", "more than every id", std::to_string(next_.next_id));
        next_.n_copied = saved_.is_in_memory ? n_ : 0;
        return std::move(next_);
    }

private:
    // In the order of saved_columns.
    enum Fixed : std::size_t { kRows, kIds, kLive };

    [[noreturn]] static void refuse(const std::string& name, const std::string& wanted, const std::string& got) {
        throw ValueError(name + ": expected " + wanted + ", got " + got);
    }

    bool has_codes() const { return saved_.has_codes && next_.forms->has_any(); }

    void check_numbers() {
        if (saved_.page_rows < kBlockRows || saved_.page_rows > kMostPageRows || saved_.page_rows % kBlockRows != 0) {
            refuse("page_rows", "a multiple of 16 up to " + std::to_string(kMostPageRows), std::to_string(saved_.page_rows));
        }
        if (saved_.next_id < 0) refuse("next_id", "a number that is not negative", std::to_string(saved_.next_id));
        if (saved_.has_codes) next_.page_rows = static_cast<int>(saved_.page_rows);
        next_.next_id = saved_.next_id;
        next_.knows_copies = saved_.knows_copies || !saved_.has_codes;
    }

    // Exactly the arrays that such an index has, in their order.
    void match() {
        const SavedArray* rows = find(saved_.arrays, "rows");
        n_ = rows == nullptr || rows->shape.empty() ? 0 : rows->shape[0];
        if (n_ < 0 || n_ >= kMaxPositions) refuse("rows", "fewer than 2^31", std::to_string(n_));
        whole_ = n_ / kBlockRows * kBlockRows;
        has_live_ = find(saved_.arrays, "live") != nullptr;
        for (const SavedColumn& column : saved_columns(*next_.forms, next_.options, n_, next_.page_rows, has_live_, saved_.has_codes)) {
            const SavedArray* given = find(saved_.arrays, column.shape.name);
            if (given == nullptr) refuse(column.shape.name, described(column.shape), "none");
            if (given->type != column.shape.type || given->shape != column.shape.shape) {
                refuse(column.shape.name, described(column.shape), described(*given));
            }
            arrays_.push_back(given);
        }
        for (const SavedArray& array : saved_.arrays) {
            if (std::find(arrays_.begin(), arrays_.end(), &array) == arrays_.end()) refuse("arrays", "no '" + array.name + "'", "one");
        }
        n_kinds_ = 0;
        for (int kind = 0; kind < kCodeKinds; ++kind) n_kinds_ += next_.forms->has(static_cast<CodeKind>(kind)) ? 1 : 0;
        first_extent_ = has_live_ ? kLive + 1 : kLive;
    }

    void take_live() {
        next_.n_positions = next_.n_live = n_;
        if (!has_live_) return;
        const auto* given = items<std::uint8_t>(*arrays_[kLive]);
        auto live = std::make_shared<std::vector<std::uint8_t>>(given, given + n_);
        if (std::any_of(live->begin(), live->end(), [](std::uint8_t each) { return each > 1; })) refuse("live", "bytes 0 and 1", "others");
        next_.n_live = std::count(live->begin(), live->end(), 1);
        next_.live = std::move(live);
    }

    PageView page(std::int64_t first) {
        const auto n = static_cast<int>(std::min<std::int64_t>(next_.page_rows, n_ - first));
        PageView view;
        view.page = has_codes() ? std::make_shared<Page>(page_codes(first), next_.page_rows)
                                : std::make_shared<Page>(*next_.forms, next_.page_rows);
        if (has_codes()) {
            view.extent = extent(first / next_.page_rows);
            view.extent.n_rows = static_cast<int>(std::clamp<std::int64_t>(whole_ - first, 0, next_.page_rows));
        }
        const SavedArray& rows = *arrays_[kRows];
        const std::size_t row_bytes = static_cast<std::size_t>(next_.options.n_cols) * core::size_of(next_.options.dtype);
        const std::byte* row = items<std::byte>(rows) + static_cast<std::size_t>(first) * row_bytes;
        for (int i = 0; i < n; ++i, row += row_bytes) {
            view.page->rows[static_cast<std::size_t>(i)] = row;
            view.page->ids[static_cast<std::size_t>(i)] = checked_id(items<std::int64_t>(*arrays_[kIds])[first + i]);
        }
        view.page->owners.push_back({0, n, rows.owner, saved_.is_in_memory});
        return view;
    }

    std::int64_t checked_id(std::int64_t id) {
        if (id < 0 || id == kLargest) refuse("ids", "numbers between 0 and 2^63 - 2", std::to_string(id));
        next_.ids_ascend = next_.ids_ascend && id > last_id_;
        last_id_ = std::max(last_id_, id);
        return id;
    }

    // A full page stays where it is; one that additions go on in is copied.
    std::unique_ptr<CodeBlocks> page_codes(std::int64_t first) const {
        const bool is_full = first + next_.page_rows <= whole_;
        auto codes = is_full ? std::make_unique<CodeBlocks>(next_.page_rows) : std::make_unique<CodeBlocks>(*next_.forms, next_.page_rows);
        take_blocks(*codes, first / kBlockRows, std::min<std::int64_t>(next_.page_rows, whole_ - first) / kBlockRows, is_full);
        for (int i = 0; i < next_.page_rows; ++i) codes->positions[static_cast<std::size_t>(i)] = static_cast<std::uint32_t>(first + i);
        return codes;
    }

    void take_blocks(CodeBlocks& codes, std::int64_t first, std::int64_t n, bool lends) const {
        std::size_t number = first_extent_ + 1 + static_cast<std::size_t>(n_kinds_);
        each_array(*next_.forms, codes, [&](const CodeArray& which, auto& array) {
            using T = std::decay_t<decltype(array[0])>;
            const SavedArray& saved = *arrays_[number++];
            const T* from = items<T>(saved) + static_cast<std::size_t>(first) * which.per_block;
            const std::size_t size = static_cast<std::size_t>(n) * which.per_block;
            if (lends) {
                array = runtime::SharedArray<T>(saved.owner, from, size);
            } else {
                std::copy_n(from, size, array.data());
            }
        });
    }

    void take_tail() {
        const auto n = static_cast<int>(n_ - whole_);
        auto tail = std::make_shared<CodeBlocks>(*next_.forms, kBlockRows);
        take_blocks(*tail, whole_ / kBlockRows, 1, false);
        if (tail->valid[0] >> n != 0) refuse("valid", "no rows after the last", "some");
        for (int i = 0; i < kBlockRows; ++i) {
            tail->positions[static_cast<std::size_t>(i)] = i < n ? static_cast<std::uint32_t>(whole_ + i) : 0u;
        }
        next_.tail_extent = extent(static_cast<std::int64_t>(arrays_[first_extent_]->shape[0]) - 1);
        next_.tail_extent.n_rows = n;
        next_.tail = std::move(tail);
    }

    // Infinite numbers are honest: norms of huge rows, and the least of nothing.
    Extent extent(std::int64_t i) const {
        const double* numbers = items<double>(*arrays_[first_extent_]) + kExtentNumbers * i;
        Extent extent;
        extent.least_ratio = not_negative(numbers[0]);
        extent.norm_sum = not_negative(numbers[1]);
        extent.largest_norm = not_negative(numbers[2]);
        std::size_t number = first_extent_;
        for (int kind = 0; kind < kCodeKinds; ++kind) {
            if (next_.forms->has(static_cast<CodeKind>(kind))) extent.code_reach[kind] = not_negative(items<double>(*arrays_[++number])[i]);
        }
        return extent;
    }

    static double not_negative(double value) {
        if (!(value >= 0.0)) refuse("extents", "numbers that are not negative", std::to_string(value));
        return value;
    }

    const SavedIndex& saved_;
    Snapshot next_;
    std::vector<const SavedArray*> arrays_;
    std::int64_t n_ = 0, whole_ = 0, last_id_ = -1;  // rows; rows in whole blocks
    bool has_live_ = false;
    int n_kinds_ = 0;
    std::size_t first_extent_ = 0;
};

}  // namespace

Snapshot restored(const Snapshot& empty, const SavedIndex& saved, const Execution& execution) {
    Restorer restorer(empty, saved);
    Snapshot next;
    runtime::run(execution, 1, 0, [&](runtime::Worker& worker) { next = restorer.run(worker); });
    return next;
}

}  // namespace embmath::engine
