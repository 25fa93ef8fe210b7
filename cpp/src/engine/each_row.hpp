// Row by row through a matrix, on several threads: what transforms and codecs do.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/rows.hpp"
#include "runtime/memory.hpp"
#include "runtime/parallel.hpp"

namespace embmath::engine {

inline constexpr int kRowGroup = 16;

// `function(pointers, n, first row)` for groups of n <= `group_rows` <= kRowGroup rows, a few hundred kilobytes
// per task.
template <class Function>
void for_each_group(const RowReader& rows, const Execution& execution, int group_rows, const Function& function) {
    const auto n_cols = static_cast<std::int64_t>(std::max<std::size_t>(rows.n_cols(), 1));
    const std::int64_t batch = std::max<std::int64_t>(1, (std::int64_t{1} << 17) / n_cols);
    const double work = static_cast<double>(rows.n_rows()) * static_cast<double>(n_cols);
    runtime::for_each_task(execution, runtime::worker_count(execution, work), (rows.n_rows() + batch - 1) / batch,
                           [&](runtime::Worker&, std::int64_t task) {
        runtime::AlignedArray<std::byte> scratch(rows.scratch_bytes(static_cast<std::size_t>(group_rows)));
        const std::int64_t end = std::min(rows.n_rows(), (task + 1) * batch);
        for (std::int64_t first = task * batch; first < end; first += group_rows) {
            const int n = static_cast<int>(std::min<std::int64_t>(group_rows, end - first));
            std::int64_t indices[kRowGroup];
            const void* pointers[kRowGroup];
            for (int i = 0; i < n; ++i) indices[i] = first + i;
            rows.rows(indices, n, scratch.data(), pointers);
            function(pointers, n, first);
        }
    });
}

// `function(row pointer, row index)` for every row.
template <class Function>
void for_each_row(const RowReader& rows, const Execution& execution, const Function& function) {
    for_each_group(rows, execution, kRowGroup, [&](const void* const* pointers, int n, std::int64_t first) {
        for (int i = 0; i < n; ++i) function(pointers[i], first + i);
    });
}

}  // namespace embmath::engine
