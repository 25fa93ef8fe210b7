#include "engine/axes.hpp"

#include <algorithm>

namespace embmath::engine {

namespace {

constexpr int kBlockRows = kernel::kBlockRows;
constexpr std::size_t kGroup = kernel::kAxisGroup;

}  // namespace

Axes::Axes(const AxesView& view)
    : n_axes_(static_cast<std::size_t>(view.n_axes)), n_cols_(static_cast<std::size_t>(view.n_cols)), mean_(view.mean) {
    packed_ = runtime::AlignedArray<double>(n_groups() * n_cols_ * kGroup);
    std::fill(packed_.begin(), packed_.end(), 0.0);
    for (std::size_t axis = 0; axis < n_axes_; ++axis) {
        double* group = packed_.data() + axis / kGroup * n_cols_ * kGroup + axis % kGroup;
        for (std::size_t col = 0; col < n_cols_; ++col) group[col * kGroup] = static_cast<double>(view.vectors[axis * n_cols_ + col]);
    }
}

AxesRotator::AxesRotator(const kernel::KernelTable& table, const Axes& axes, const RowReader& rows)
    : table_(table),
      axes_(axes),
      rows_(rows),
      packed_(axes.n_cols() * kBlockRows),
      y_(axes.n_groups() * kGroup * kRows),
      max_abs_(kRows),
      blocks_(axes.n_cols() * kRows),
      sq_norms_(kRows),
      scratch_(rows.scratch_bytes(kBlockRows)) {}

void AxesRotator::run(std::int64_t first, int n) {
    const int n_blocks = (n + kBlockRows - 1) / kBlockRows;
    for (int block = 0; block < n_blocks; ++block) {
        const int before = block * kBlockRows;
        center(first + before, std::min(kBlockRows, n - before), block);
    }
    stride_ = static_cast<std::size_t>(n_blocks * kBlockRows);
    table_.rotate({blocks_.data(), static_cast<std::size_t>(n_blocks), axes_.n_cols(), axes_.packed(), axes_.n_groups(), y_.data(),
                   stride_});
}

void AxesRotator::center(std::int64_t first, int n, int block) {
    std::int64_t indices[kBlockRows];
    const void* rows[kBlockRows];
    for (int i = 0; i < n; ++i) indices[i] = first + i;
    rows_.rows(indices, n, scratch_.data(), rows);
    alignas(64) float sq_norm[kBlockRows];
    const std::size_t n_cols = axes_.n_cols();
    const auto start = static_cast<std::size_t>(block * kBlockRows);
    table_.pack[static_cast<int>(rows_.dtype())]({rows, n, n_cols, nullptr, packed_.data(), sq_norm, max_abs_.data() + start});
    table_.center({packed_.data(), n_cols, axes_.mean(), blocks_.data() + start * n_cols, sq_norms_.data() + start});
}

}  // namespace embmath::engine
