// Rows on orthonormal axes, some at a time: the same bits on every instruction set (kernel/rotate.hpp).
#pragma once

#include <cstdint>

#include "embmath/rotated_codes.hpp"
#include "engine/rows.hpp"
#include "kernel/table.hpp"
#include "runtime/memory.hpp"

namespace embmath::engine {

// Axes as kernels read them.
class Axes {
public:
    explicit Axes(const AxesView& view);

    std::size_t n_axes() const { return n_axes_; }
    std::size_t n_cols() const { return n_cols_; }
    std::size_t n_groups() const { return (n_axes_ + kernel::kAxisGroup - 1) / kernel::kAxisGroup; }
    const double* packed() const { return packed_.data(); }
    const double* mean() const { return mean_; }

private:
    std::size_t n_axes_, n_cols_;
    const double* mean_;
    runtime::AlignedArray<double> packed_;  // [n_groups][n_cols][kAxisGroup]
};

// One worker's memory. Several blocks at once: axes too many for L2 then travel less often.
class AxesRotator {
public:
    static constexpr int kBlocks = 4, kRows = kBlocks * kernel::kBlockRows;

    AxesRotator(const kernel::KernelTable& table, const Axes& axes, const RowReader& rows);

    // Rotates rows [first, first + n), n <= kRows.
    void run(std::int64_t first, int n);

    // Coordinate j of row i: y()[j * stride() + i].
    const float* y() const { return y_.data(); }
    std::size_t stride() const { return stride_; }
    double sq_norm(int row) const { return sq_norms_[static_cast<std::size_t>(row)]; }  // |x - mean|^2
    bool is_zero(int row) const { return max_abs_[static_cast<std::size_t>(row)] == 0.0F; }

private:
    void center(std::int64_t first, int n, int block);

    const kernel::KernelTable& table_;
    const Axes& axes_;
    const RowReader& rows_;
    std::size_t stride_ = kRows;
    runtime::AlignedArray<float> packed_, y_, max_abs_;
    runtime::AlignedArray<double> blocks_, sq_norms_;
    runtime::AlignedArray<std::byte> scratch_;
};

}  // namespace embmath::engine
