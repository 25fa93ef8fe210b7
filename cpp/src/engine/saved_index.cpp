#include "engine/saved_index.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

#include "core/dtype.hpp"

namespace embmath::engine {

namespace {

constexpr const char* kRowTypes[kDtypeCount] = {"F16", "BF16", "F32", "F64", "I8", "U8"};

std::string name_of(const CodeArray& which) {
    if (which.kind < 0) return which.part;
    const std::string name = "codes." + std::string(kCodeKindNames[which.kind]) + "." + std::to_string(which.rung) + "." + which.part;
    return which.term < 0 ? name : name + "." + std::to_string(which.term);
}

const Extent& extent_of(const Snapshot& snapshot, std::int64_t i) {
    const auto page = static_cast<std::size_t>(i);
    return page < snapshot.pages->size() ? (*snapshot.pages)[page].extent : snapshot.tail_extent;
}

void read_rows(const Snapshot& snapshot, std::int64_t first, std::int64_t n, void* out) {
    const std::size_t row_bytes = static_cast<std::size_t>(snapshot.options.n_cols) * core::size_of(snapshot.options.dtype);
    for (std::int64_t i = 0; i < n; ++i) {
        std::memcpy(static_cast<std::byte*>(out) + static_cast<std::size_t>(i) * row_bytes, snapshot.row(first + i), row_bytes);
    }
}

void read_ids(const Snapshot& snapshot, std::int64_t first, std::int64_t n, void* out) {
    for (std::int64_t i = 0; i < n; ++i) static_cast<std::int64_t*>(out)[i] = snapshot.id(first + i);
}

void read_live(const Snapshot& snapshot, std::int64_t first, std::int64_t n, void* out) {
    std::memcpy(out, snapshot.live->data() + first, static_cast<std::size_t>(n));
}

void read_extents(const Snapshot& snapshot, std::int64_t first, std::int64_t n, void* out) {
    auto* numbers = static_cast<double*>(out);
    for (std::int64_t i = 0; i < n; ++i) {
        const Extent& extent = extent_of(snapshot, first + i);
        for (const double each : {extent.least_ratio, extent.norm_sum, extent.largest_norm}) *numbers++ = each;
    }
}

// Where a block lies, and how many blocks there are from it to the end of its page.
struct BlockPlace {
    const CodeBlocks* codes;
    std::int64_t block, available;
};

BlockPlace place_of(const Snapshot& snapshot, std::int64_t block) {
    const std::int64_t whole = snapshot.n_positions / kBlockRows, per_page = snapshot.page_rows / kBlockRows;
    if (block >= whole) return {snapshot.tail.get(), 0, 1};
    const std::int64_t page = block / per_page;
    const CodeBlocks* codes = (*snapshot.pages)[static_cast<std::size_t>(page)].page->codes.get();
    return {codes, block - page * per_page, std::min((page + 1) * per_page, whole) - block};
}

// Of the array that each_array visits as number `wanted`.
void read_codes(const Snapshot& snapshot, int wanted, std::int64_t first, std::int64_t n, void* out) {
    auto* to = static_cast<std::byte*>(out);
    for (const std::int64_t end = first + n; first < end;) {
        const BlockPlace place = place_of(snapshot, first);
        const std::int64_t taken = std::min(place.available, end - first);
        int number = 0;
        each_array(*snapshot.forms, *place.codes, [&](const CodeArray& which, const auto& array) {
            if (number++ != wanted) return;
            const std::size_t bytes = static_cast<std::size_t>(taken) * which.per_block * sizeof(array[0]);
            std::memcpy(to, array.data() + static_cast<std::size_t>(place.block) * which.per_block, bytes);
            to += bytes;
        });
        first += taken;
    }
}

}  // namespace

std::vector<SavedColumn> saved_columns(const CodeForms& forms, const IndexOptions& options, std::int64_t n,
                                       std::int64_t page_rows, bool has_live, bool has_codes) {
    std::vector<SavedColumn> columns;
    const auto add = [&](std::string name, const char* type, std::vector<std::int64_t> shape, auto read) {
        columns.push_back({{std::move(name), type, std::move(shape)}, read});
    };
    add("rows", kRowTypes[static_cast<int>(options.dtype)], {n, options.n_cols}, read_rows);
    add("ids", "I64", {n}, read_ids);
    if (has_live) add("live", "BOOL", {n}, read_live);
    if (!has_codes || !forms.has_any()) return columns;
    const std::int64_t n_blocks = (n + kBlockRows - 1) / kBlockRows, n_extents = (n + page_rows - 1) / page_rows + 1;
    add("extents", "F64", {n_extents, kExtentNumbers}, read_extents);
    for (int kind = 0; kind < kCodeKinds; ++kind) {
        if (!forms.has(static_cast<CodeKind>(kind))) continue;
        add("codes." + std::string(kCodeKindNames[kind]) + ".reach", "F64", {n_extents},
            [kind](const Snapshot& snapshot, std::int64_t first, std::int64_t count, void* out) {
                for (std::int64_t i = 0; i < count; ++i) static_cast<double*>(out)[i] = extent_of(snapshot, first + i).code_reach[kind];
            });
    }
    const CodeBlocks none(0);
    int number = 0;
    each_array(forms, none, [&](const CodeArray& which, const auto& array) {
        using T = std::decay_t<decltype(array[0])>;
        add(name_of(which), std::is_same_v<T, float> ? "F32" : sizeof(T) == 2 ? "U16" : "U32",
            {n_blocks, static_cast<std::int64_t>(which.per_block)},
            [number](const Snapshot& snapshot, std::int64_t first, std::int64_t count, void* out) {
                read_codes(snapshot, number, first, count, out);
            });
        ++number;
    });
    return columns;
}

std::vector<SavedColumn> saved_columns(const Snapshot& snapshot) {
    return saved_columns(*snapshot.forms, snapshot.options, snapshot.n_positions, snapshot.page_rows, snapshot.live != nullptr, true);
}

}  // namespace embmath::engine
