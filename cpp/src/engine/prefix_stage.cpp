#include "engine/prefix_stage.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace embmath::engine {

namespace {

using kernel::SelectOp;
using kernel::TileOp;

// Where subtracting the mean leaves less than this of a query, its length is no longer known well.
constexpr double kLeastRest = 0x1p-20;

}  // namespace

PrefixStage::PrefixStage(const kernel::KernelTable& table, Metric metric, const RowReader& queries, std::int64_t first,
                         int count, int digits, const Rotation& rotation, const PrefixPlane& plane,
                         const core::BoundScales& scales)
    : Stage(table, plane.is_packed() ? TileOp::nibble_dot : TileOp::code_dot,
            digits == 1 ? SelectOp::affine_i32_2 : SelectOp::wide_i32_2, digits,
            digits == 1 && !plane.is_packed() ? table.code_queries : kernel::kTileQueries),
      table_(table),
      plane_(plane),
      scales_(scales),
      terms_(static_cast<std::size_t>(count)) {
    allocate_queries(count, plane.query_steps(), plane.query_steps() * kBlockRows);
    std::fill(queries_.begin(), queries_.end(), 0u);
    const auto n_lanes = static_cast<std::size_t>(blocks_of(count * digits) * kBlockRows);
    start_ = runtime::AlignedArray<std::uint32_t>(n_lanes);
    std::fill(start_.begin(), start_.end(), 0u);
    if (lanes_ > kernel::kTileQueries) {
        rows_ = runtime::AlignedArray<std::uint32_t>(n_lanes * n_steps_);
        std::fill(rows_.begin(), rows_.end(), 0u);
    }
    n_steps_ = plane.block_steps();
    longer_rows_ = plane.is_packed() ? table.nibble_rows : table.code_rows;
    longer_words_ = plane.query_words();
    longer_queries_ = runtime::AlignedArray<std::uint32_t>(n_lanes * longer_words_);
    std::fill(longer_queries_.begin(), longer_queries_.end(), 0u);
    longer_start_.assign(n_lanes, 0);
    const bool is_distance = core::is_euclidean(metric);
    const double sq_mean = rotation.mean_norm() * rotation.mean_norm();
    Rotator rotator(table, rotation, queries, plane.n_coords());
    for (int begin = 0; begin < count; begin += Rotator::kBatch) {
        const int n = std::min(Rotator::kBatch, count - begin);
        for (int lane = 0; lane < n; ++lane) {
            core::PrefixQuery& query = terms_[static_cast<std::size_t>(begin + lane)];
            query.metric = metric;
            query.mean_norm = rotation.mean_norm();
            const double* x = rotator.read(first + begin + lane);
            const double norm = length(x, queries.n_cols());
            const bool is_usable = norm > 0.0 && norm < core::kInfinity && core::shares_units(metric, std::ilogb(norm));
            if (!is_usable) {
                rotator.clear(lane);
                continue;
            }
            double along = 0.0;
            for (std::size_t i = 0; i < queries.n_cols(); ++i) along += x[i] * rotation.mean()[i];
            query.unit = is_distance ? 1.0 : norm;
            query.offset = is_distance ? 0.0 : along / norm;
            query.tilt = is_distance || rotation.mean_norm() < core::kLeastMean ? 0.0 : query.offset / sq_mean;
            const double sq_norm = rotator.put(lane, x, 1.0 / query.unit, is_distance ? 1.0 : query.tilt).sq_norm;
            const double before = is_distance ? norm + rotation.mean_norm() : 1.0;
            query.norm = std::sqrt(sq_norm) * (1.0 + 0x1p-30) + 0x1p-45 * before;
            query.bounded = query.norm > kLeastRest * before;
            if (!query.bounded) rotator.clear(lane);
        }
        rotator.run(n);
        for (int lane = 0; lane < n; ++lane) {
            core::PrefixQuery& query = terms_[static_cast<std::size_t>(begin + lane)];
            if (!query.bounded) continue;
            encode(begin + lane, rotator.y() + lane, rotator.stride(), query);
            if (!is_distance) continue;
            // Distances are bounded in units of |q'|.
            query.unit = query.norm;
            query.step /= query.unit;
            query.residual /= query.unit;
            for (double& radius : query.radius) radius /= query.unit;
            query.norm = 1.0;
        }
    }
}

// The rotated query as integers; what lies beyond each prefix, and beyond what integers can say.
void PrefixStage::encode(int index, const float* y, std::size_t stride, core::PrefixQuery& query) {
    const auto value = [&](std::int64_t j) { return static_cast<double>(y[static_cast<std::size_t>(j) * stride]); };
    const core::PrefixShape& shape = plane_.shape();
    double largest = 0.0, sq_length = 0.0, sq_weighted = 0.0;
    for (int rung = 0; rung < core::kRungs; ++rung) {
        for (std::int64_t j = rung == 0 ? 0 : plane_.coded(0); j < plane_.coded(rung); ++j) {
            const double z = value(j), weighted = z / static_cast<double>(plane_.weight(j));
            sq_length += z * z;
            sq_weighted += weighted * weighted;
            largest = std::max(largest, std::abs(z * static_cast<double>(plane_.step(j))));
        }
        query.radius[rung] = core::prefix_radius(shape, rung, query.norm, sq_length, sq_weighted, 1.0 / shape.least_weight);
    }
    const double levels = static_cast<double>(table_.code_levels) * (digits_ == 2 ? kernel::kDigitBase : 1);
    const auto step = static_cast<double>(static_cast<float>(largest / levels));
    if (!(step > 0x1p-100 && step < 0x1p100)) {
        query.bounded = false;
        return;
    }
    query.step = step;
    double sq_residual = 0.0;
    const std::size_t lane = static_cast<std::size_t>(index * digits_);
    std::uint32_t* words = query_block(static_cast<int>(lane / kBlockRows)) + lane % kBlockRows;
    auto* longer = reinterpret_cast<std::int8_t*>(longer_queries_.data() + lane * longer_words_);
    int sums[2] = {}, longer_sums[2] = {};
    for (std::int64_t j = 0; j < plane_.n_coords(); ++j) {
        const double exact = value(j) * static_cast<double>(plane_.step(j));
        const double rounded = std::clamp(std::nearbyint(exact / step), -levels, levels);
        sq_residual += (exact - step * rounded) * (exact - step * rounded);
        const int code = static_cast<int>(rounded);
        const auto put = [&](std::size_t digit, int part) {
            if (j >= plane_.coded(0)) {
                const auto at = static_cast<std::size_t>(j - plane_.coded(0));
                longer[digit * longer_words_ * 4 + at] = static_cast<std::int8_t>(part);
                longer_sums[digit] += part;
                return;
            }
            const auto word = static_cast<std::size_t>(j / 4);
            const auto byte = static_cast<std::uint32_t>(static_cast<std::uint8_t>(static_cast<std::int8_t>(part))) << (j % 4 * 8);
            words[word * kBlockRows + digit] |= byte;
            if (rows_.size() != 0) rows_[lane * n_steps_ + word] |= byte;
            sums[digit] += part;
        };
        if (digits_ == 1) {
            put(0, code);
        } else {
            const int upper = (code + kernel::kDigitBase / 2) >> 7;
            put(0, upper);
            put(1, code - upper * kernel::kDigitBase);
        }
    }
    query.residual = std::sqrt(sq_residual) * (1.0 + 0x1p-30);
    for (std::size_t digit = 0; digit < static_cast<std::size_t>(digits_); ++digit) {
        start_[lane + digit] = static_cast<std::uint32_t>(-plane_.bias() * sums[digit]);
        longer_start_[lane + digit] = -plane_.bias() * longer_sums[digit];
    }
}

std::unique_ptr<BlockPacker> PrefixStage::packer(const RowReader&) const {
    throw std::logic_error("PrefixStage: packs no rows");
}

}  // namespace embmath::engine
