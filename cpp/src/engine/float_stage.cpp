#include "engine/float_stage.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace embmath::engine {

namespace {

using kernel::SelectOp;
using kernel::TileOp;

struct StageOps {
    PackMode mode;
    TileOp tile;
    SelectOp select;
};

StageOps stage_ops(Metric metric) {
    switch (metric) {
        case Metric::manhattan: return {PackMode::plain, TileOp::absdiff, SelectOp::affine_f32_1};
        case Metric::hamming: return {PackMode::bits, TileOp::xor_count, SelectOp::affine_i32_1};
        case Metric::jaccard: return {PackMode::bits, TileOp::and_count, SelectOp::ratio_i32};
        default: return {PackMode::scaled, TileOp::dot, SelectOp::affine_f32_1};
    }
}

class FloatPacker final : public BlockPacker {
public:
    FloatPacker(const kernel::KernelTable& table, const RowReader& rows, Metric metric, double slack)
        : table_(table), metric_(metric), slack_(slack), packer_(table, rows, stage_ops(metric).mode) {}

    std::size_t block_words() const override { return packer_.block_words(); }

    void pack(const std::int64_t* rows, int n, std::uint32_t* block, BlockTerms& terms) override {
        packer_.pack(rows, n, reinterpret_cast<float*>(block), stats_);
        terms.least_ratio = 0.0;
        for (int lane = 0; lane < n; ++lane) {
            terms.set(lane, row_terms(lane));
            terms.norm[lane] = is_bits(metric_) ? 0.0 : std::sqrt(static_cast<double>(stats_.sq_norm[lane]));
        }
    }

private:
    core::RowTerms row_terms(int lane) const {
        switch (metric_) {
            case Metric::manhattan: return {-1.0F, {}};
            case Metric::hamming: return {-1.0F, {}};
            case Metric::jaccard: {
                const void* row = packer_.row(lane);
                return {1.0F, {static_cast<float>(sq_norm(table_, metric_, Dtype::u8, row, packer_.reader().n_cols()))}};
            }
            default: return core::float_row(metric_, stats_.sq_norm[lane], stats_.exponent[lane], slack_);
        }
    }

    const kernel::KernelTable& table_;
    Metric metric_;
    double slack_;
    Packer packer_;
    BlockStats stats_{};
};

}  // namespace

bool FloatStage::exists(Metric metric, Dtype query_dtype, Dtype row_dtype, std::int64_t n_cols) {
    if (is_bits(metric)) return n_cols < (std::int64_t{1} << 21);  // counts exact in float32
    const bool is_f64 = query_dtype == Dtype::f64 || row_dtype == Dtype::f64;
    // The relative bound of differences does not survive rounding float64 input to float32 first.
    if (metric == Metric::manhattan && is_f64) return false;
    return n_cols <= core::kMaxFloatDim;
}

FloatStage::FloatStage(const kernel::KernelTable& table, Metric metric, const RowReader& queries, std::int64_t first,
                       int count, const Scorer& scorer, const core::BoundScales& scales)
    : Stage(table, stage_ops(metric).tile, stage_ops(metric).select, 1, kernel::kTileQueries),
      table_(table),
      metric_(metric),
      slack_(core::slack(static_cast<std::int64_t>(queries.n_cols())) * scales.rounding) {
    Packer packer(table, queries, stage_ops(metric).mode);
    allocate_queries(count, packer.n_steps(), packer.block_words());
    terms_.reserve(static_cast<std::size_t>(count));
    BlockStats stats{};
    for (int block = 0; block < count; block += kBlockRows) {
        const int n = std::min(kBlockRows, count - block);
        std::int64_t rows[kBlockRows];
        for (int lane = 0; lane < n; ++lane) rows[lane] = first + block + lane;
        packer.pack(rows, n, reinterpret_cast<float*>(query_block(block / kBlockRows)), stats);
        for (int lane = 0; lane < n; ++lane) {
            terms_.push_back(core::float_query(metric, scorer.sq_norm(block + lane), stats.exponent[lane], slack_));
        }
    }
}

std::unique_ptr<BlockPacker> FloatStage::packer(const RowReader& rows) const {
    return std::make_unique<FloatPacker>(table_, rows, metric_, slack_);
}

}  // namespace embmath::engine
