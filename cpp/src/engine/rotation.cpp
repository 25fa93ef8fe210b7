#include "engine/rotation.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/prefix_bounds.hpp"
#include "embmath/errors.hpp"

namespace embmath::engine {

namespace {

constexpr int kBlockRows = kernel::kBlockRows;
constexpr int kTogether = 4;       // rows of one canonical call
constexpr double kMostEps = 1e-3;  // beyond, a basis is not a rounded orthonormal one but another thing

// |V V^T - I| in the Frobenius norm, which is the spectral norm's upper bound.
double defect(const kernel::KernelTable& table, const float* basis, std::size_t n, std::size_t d) {
    const kernel::CanonicalFn dot = table.canonical[static_cast<int>(kernel::CanonicalOp::dot)][static_cast<int>(Dtype::f32)];
    runtime::AlignedArray<double> wide((d + kBlockRows - 1) / kBlockRows * kBlockRows);
    double total = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        table.widen[static_cast<int>(Dtype::f32)](basis + i * d, d, wide.data());
        for (std::size_t j = 0; j <= i; j += kTogether) {
            const void* rows[kTogether];
            const auto count = static_cast<int>(std::min<std::size_t>(kTogether, i + 1 - j));
            for (int r = 0; r < count; ++r) rows[r] = basis + (j + static_cast<std::size_t>(r)) * d;
            double sums[2 * kTogether];
            dot(wide.data(), rows, rows, count, d, sums);
            for (int r = 0; r < count; ++r) {
                const bool is_diagonal = j + static_cast<std::size_t>(r) == i;
                const double off = sums[2 * r] - (is_diagonal ? 1.0 : 0.0);
                total += (is_diagonal ? 1.0 : 2.0) * off * off;
            }
        }
    }
    return std::sqrt(total) * (1.0 + 0x1p-40) + static_cast<double>(n * d) * 0x1p-52;
}

// What can be seen at a glance of a basis whose defect is known: 3 s were it computed for 4096 columns.
bool are_unit(const std::vector<float>& vectors, std::size_t d) {
    for (std::size_t i = 0; i < vectors.size(); i += d) {
        double sq_norm = 0.0;
        for (std::size_t j = i; j < i + d; ++j) sq_norm += static_cast<double>(vectors[j]) * static_cast<double>(vectors[j]);
        if (!(std::abs(sq_norm - 1.0) < kMostEps)) return false;
    }
    return true;
}

}  // namespace

Rotation::Rotation(const kernel::KernelTable& table, const Basis& basis)
    : n_cols_(static_cast<std::int64_t>(basis.mean.size())),
      n_coords_(static_cast<std::int64_t>(basis.spread.size())),
      mean_(basis.mean),
      spread_(basis.spread) {
    if (n_coords_ < 1 || n_coords_ > n_cols_ || basis.vectors.size() != static_cast<std::size_t>(n_coords_ * n_cols_)) {
        throw ValueError("rotation: expected at most " + std::to_string(n_cols_) + " vectors of " + std::to_string(n_cols_) + " columns");
    }
    for (const double each : spread_) {
        if (!(each >= 0.0 && each < core::kInfinity)) throw ValueError("rotation: expected finite variances, none below zero");
    }
    double sq_norm = 0.0;
    for (const double each : mean_) sq_norm += each * each;
    mean_norm_ = std::sqrt(sq_norm) * (1.0 + 0x1p-30);
    eps_ = basis.defect && are_unit(basis.vectors, mean_.size())
               ? *basis.defect
               : defect(table, basis.vectors.data(), static_cast<std::size_t>(n_coords_), static_cast<std::size_t>(n_cols_));
    const auto is_spread = [](double each) { return each >= 0.0 && each < core::kInfinity; };
    if (!std::all_of(spread_.begin(), spread_.end(), is_spread)) throw ValueError("rotation: expected finite deviations that are not negative");
    if (!(eps_ >= 0.0 && eps_ < kMostEps) || !(mean_norm_ < core::kInfinity)) {
        throw ValueError("rotation: expected a finite mean and orthonormal vectors, got |V V^T - I| = " + std::to_string(eps_));
    }
    const auto d = static_cast<std::size_t>(n_cols_);
    packed_ = runtime::AlignedArray<float>(static_cast<std::size_t>((n_coords_ + kBlockRows - 1) / kBlockRows * kBlockRows) * d);
    std::fill(packed_.begin(), packed_.end(), 0.0F);
    for (std::size_t j = 0; j < static_cast<std::size_t>(n_coords_); ++j) {
        float* block = packed_.data() + j / kBlockRows * d * kBlockRows + j % kBlockRows;
        for (std::size_t i = 0; i < d; ++i) block[i * kBlockRows] = basis.vectors[j * d + i];
    }
}

void Rotation::apply(const kernel::KernelTable& table, const float* blocks, int n_blocks, std::int64_t n_coords, float* y) const {
    constexpr int kGroup = kernel::kTileQueries;
    constexpr int kMost = Rotator::kBatch;
    const auto d = static_cast<std::size_t>(n_cols_);
    const auto ld = static_cast<std::size_t>(n_blocks * kBlockRows);
    const kernel::TileFn tile = table.tile[static_cast<int>(kernel::TileOp::dot)];
    alignas(64) float part[kGroup * kMost];
    alignas(64) double sums[kGroup * kMost];
    for (std::int64_t first = 0; first < n_coords; first += kGroup) {
        const auto n = static_cast<int>(std::min<std::int64_t>(kGroup, n_coords - first));
        const float* vectors = packed_.data() + static_cast<std::size_t>(first / kBlockRows) * d * kBlockRows + first % kBlockRows;
        for (std::size_t step = 0; step < d; step += core::kRotationSteps) {
            const std::size_t n_steps = std::min<std::size_t>(core::kRotationSteps, d - step);
            tile({vectors + step * kBlockRows, n, blocks + step * kBlockRows, static_cast<std::size_t>(n_blocks), d * kBlockRows,
                  n_steps, nullptr, part, ld});
            const std::size_t count = static_cast<std::size_t>(n) * ld;
            if (step == 0) {
                for (std::size_t i = 0; i < count; ++i) sums[i] = static_cast<double>(part[i]);
            } else {
                for (std::size_t i = 0; i < count; ++i) sums[i] += static_cast<double>(part[i]);
            }
        }
        float* out = y + static_cast<std::size_t>(first) * ld;
        for (std::size_t i = 0; i < static_cast<std::size_t>(n) * ld; ++i) out[i] = static_cast<float>(sums[i]);
    }
}

double length(const double* x, std::size_t n) {
    double sums[2] = {};
    for (std::size_t i = 0; i < n; ++i) sums[i % 2] += x[i] * x[i];
    return std::sqrt(sums[0] + sums[1]);
}

Rotator::Rotator(const kernel::KernelTable& table, const Rotation& rotation, const RowReader& rows, std::int64_t n_coords)
    : table_(table),
      rotation_(rotation),
      rows_(rows),
      n_coords_(n_coords),
      blocks_(static_cast<std::size_t>(kBatch) * rows.n_cols()),
      y_(static_cast<std::size_t>(kBatch) * static_cast<std::size_t>(n_coords)),
      wide_((rows.n_cols() + kBlockRows) / kBlockRows * kBlockRows),
      scratch_(rows.scratch_bytes(1)) {}

const double* Rotator::read(std::int64_t row) {
    table_.widen[static_cast<int>(rows_.dtype())](rows_.row(row, scratch_.data()), rows_.n_cols(), wide_.data());
    return wide_.data();
}

Rotator::Centred Rotator::put(int lane, const double* x, double scale, double mean_scale) {
    const std::size_t d = rows_.n_cols();
    float* out = blocks_.data() + static_cast<std::size_t>(lane / kBlockRows) * d * kBlockRows + lane % kBlockRows;
    const double* mean = rotation_.mean().data();
    double sq_norm[2] = {}, along[2] = {};
    for (std::size_t i = 0; i < d; ++i) {
        const double value = x[i] * scale - mean[i] * mean_scale;
        sq_norm[i % 2] += value * value;
        along[i % 2] += value * mean[i];
        out[i * kBlockRows] = static_cast<float>(value);
    }
    return {sq_norm[0] + sq_norm[1], along[0] + along[1]};
}

void Rotator::clear(int lane) {
    const std::size_t d = rows_.n_cols();
    float* out = blocks_.data() + static_cast<std::size_t>(lane / kBlockRows) * d * kBlockRows + lane % kBlockRows;
    for (std::size_t i = 0; i < d; ++i) out[i * kBlockRows] = 0.0F;
}

void Rotator::run(int n) {
    const int n_blocks = (n + kBlockRows - 1) / kBlockRows;
    for (int lane = n; lane < n_blocks * kBlockRows; ++lane) clear(lane);
    stride_ = static_cast<std::size_t>(n_blocks * kBlockRows);
    rotation_.apply(table_, blocks_.data(), n_blocks, n_coords_, y_.data());
}

}  // namespace embmath::engine
