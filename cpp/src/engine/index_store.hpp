// The changes of an index: each builds the next snapshot beside the current one and then shows it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "embmath/index.hpp"
#include "engine/code_forms.hpp"
#include "engine/snapshot.hpp"
#include "kernel/table.hpp"
#include "runtime/turn.hpp"

namespace embmath::engine {

class IndexStore {
public:
    IndexStore(const kernel::KernelTable& table, const IndexOptions& options);

    std::shared_ptr<const Snapshot> current() const;
    const IndexOptions& options() const { return options_; }

    std::vector<std::int64_t> add(const kernel::KernelTable& table, const MatrixView& rows, const std::int64_t* ids,
                                  std::shared_ptr<const void> owner, const Execution& execution);
    void update(const kernel::KernelTable& table, const std::int64_t* ids, const MatrixView& rows,
                std::shared_ptr<const void> owner, const Execution& execution);
    void remove(const kernel::KernelTable& table, const std::int64_t* ids, std::int64_t n, const Execution& execution);

    // Of an index without rows that nobody else has: takes what was saved.
    void restore(const kernel::KernelTable& table, const SavedIndex& saved, const Execution& execution);

private:
    // Rows to be added, and who keeps them: segment by segment, `n` rows each.
    struct Segment {
        std::int64_t n;
        std::shared_ptr<const void> owner;
        bool is_copy;
    };
    struct NewRows {
        std::vector<const void*> rows;
        std::vector<std::int64_t> ids;
        std::vector<Segment> segments;
    };

    NewRows locate(const MatrixView& rows, std::shared_ptr<const void> owner, const Execution& execution);
    NewRows copy(const RowReader& reader, const Execution& execution);
    NewRows live_rows(const Snapshot& now) const;
    void choose_ids(const Snapshot& now, const std::int64_t* ids, NewRows& added) const;
    void check_new_ids(const Snapshot& now, const std::vector<std::int64_t>& ids);
    Snapshot appended(const Snapshot& now, const kernel::KernelTable& table, const NewRows& added, const Execution& execution);
    void encode(Snapshot& next, const kernel::KernelTable& table, std::vector<PageView>& pages, std::int64_t first,
                const Execution& execution) const;
    Snapshot compacted(const Snapshot& now, const kernel::KernelTable& table, const Execution& execution);
    std::vector<std::int64_t> find_all(const Snapshot& now, const std::int64_t* ids, std::int64_t n);
    void locate_ids(const Snapshot& now);
    void show(Snapshot next);

    const IndexOptions options_;
    const std::shared_ptr<const CodeForms> forms_;
    runtime::TurnTaker changes_;                     // one at a time
    std::unordered_map<std::int64_t, std::int64_t> positions_;  // id -> position, once ids do not ascend
    std::shared_ptr<std::byte> slab_;                // room for copied rows
    std::size_t slab_used_ = 0, slab_size_ = 0;
    mutable std::mutex showing_;                     // held for a pointer's copy
    std::shared_ptr<const Snapshot> current_;
};

}  // namespace embmath::engine
