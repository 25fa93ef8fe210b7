#include "engine/tile_stage.hpp"

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
        case Metric::manhattan: return {PackMode::plain, TileOp::absdiff, SelectOp::affine_f32};
        case Metric::hamming: return {PackMode::bits, TileOp::xor_count, SelectOp::affine_i32};
        case Metric::jaccard: return {PackMode::bits, TileOp::and_count, SelectOp::ratio_i32};
        default: return {PackMode::scaled, TileOp::dot, SelectOp::affine_f32};
    }
}

int round_up_to_block(int rows) { return (rows + kBlockRows - 1) / kBlockRows * kBlockRows; }

}  // namespace

Panel::Panel(const kernel::KernelTable& table, const RowReader& rows, Metric metric, int max_rows)
    : packer(table, rows, stage_ops(metric).mode),
      blocks(packer.n_steps() * static_cast<std::size_t>(round_up_to_block(max_rows))),
      mul(static_cast<std::size_t>(round_up_to_block(max_rows))),
      add(mul.size()),
      ids(mul.size()),
      valid(mul.size() / kBlockRows) {}

std::size_t Panel::bytes(Metric metric, std::size_t n_cols, int max_rows) {
    return static_cast<std::size_t>(round_up_to_block(max_rows)) * (words_per_row(metric, n_cols) + 4) * sizeof(float);
}

bool TileStage::exists(Metric metric, Dtype query_dtype, Dtype row_dtype, std::int64_t n_cols) {
    if (is_bits(metric)) return n_cols < (std::int64_t{1} << 21);  // counts exact in float32
    const bool is_f64 = query_dtype == Dtype::f64 || row_dtype == Dtype::f64;
    // The relative bound of differences does not survive rounding float64 input to float32 first.
    if (metric == Metric::manhattan && is_f64) return false;
    return n_cols <= core::kMaxStageDim;
}

TileStage::TileStage(const kernel::KernelTable& table, Metric metric, const RowReader& queries, std::int64_t first,
                     int count, const Scorer& scorer)
    : table_(table),
      metric_(metric),
      slack_(core::slack(static_cast<std::int64_t>(queries.n_cols()))),
      tile_(table.tile[static_cast<int>(stage_ops(metric).tile)]),
      select_(table.select[static_cast<int>(stage_ops(metric).select)]) {
    Packer packer(table, queries, stage_ops(metric).mode);
    n_steps_ = packer.n_steps();
    block_words_ = packer.block_words();
    queries_ = runtime::AlignedArray<float>(static_cast<std::size_t>(round_up_to_block(count) / kBlockRows) * block_words_);
    terms_.reserve(static_cast<std::size_t>(count));
    BlockStats stats{};
    for (int block = 0; block < count; block += kBlockRows) {
        const int n = std::min(kBlockRows, count - block);
        std::int64_t rows[kBlockRows];
        for (int lane = 0; lane < n; ++lane) rows[lane] = first + block + lane;
        packer.pack(rows, n, queries_.data() + static_cast<std::size_t>(block / kBlockRows) * block_words_, stats);
        for (int lane = 0; lane < n; ++lane) {
            const double sq_norm = scorer.sq_norm(block + lane);
            core::QueryTerms terms = core::query_terms(metric, sq_norm, stats.exponent[lane], slack_);
            if (metric == Metric::jaccard) terms.add_scale = static_cast<float>(sq_norm);
            terms_.push_back(terms);
        }
    }
}

core::RowTerms TileStage::bound_terms(const BlockStats& stats, int lane, const void* row, std::size_t n_cols) const {
    switch (metric_) {
        case Metric::jaccard: return {-1.0F, static_cast<float>(sq_norm(table_, metric_, Dtype::u8, row, n_cols))};
        case Metric::hamming:
        case Metric::manhattan: return {-1.0F, 0.0F};
        default: return core::row_terms(metric_, stats.sq_norm[lane], stats.exponent[lane], slack_);
    }
}

void TileStage::fill(Panel& panel, const std::vector<std::uint32_t>& ids, std::int64_t base, RunLimit run) const {
    const RowReader& reader = panel.packer.reader();
    panel.n_rows = static_cast<int>(ids.size());
    BlockStats stats{};
    float previous_norm = std::numeric_limits<float>::quiet_NaN();
    for (int first = 0; first < panel.n_rows; first += kBlockRows) {
        const int n = std::min(kBlockRows, panel.n_rows - first);
        std::int64_t rows[kBlockRows];
        for (int lane = 0; lane < n; ++lane) rows[lane] = base + ids[static_cast<std::size_t>(first + lane)];
        const auto block = static_cast<std::size_t>(first / kBlockRows);
        panel.packer.pack(rows, n, panel.blocks.data() + block * block_words_, stats);
        unsigned valid = 0;
        for (int lane = 0; lane < n; ++lane) {
            const auto i = static_cast<std::size_t>(first + lane);
            const core::RowTerms terms = bound_terms(stats, lane, panel.packer.row(lane), reader.n_cols());
            panel.ids[i] = ids[i];
            panel.mul[i] = terms.mul;
            panel.add[i] = terms.add;
            panel.max_add = std::max(panel.max_add, std::abs(terms.add));
            // Equal rows have equal norms (packed bits: all zero here), so that few are compared.
            if (i > 0 && run.enough != kNoLimit) {
                const bool repeats = stats.sq_norm[lane] == previous_norm && reader.repeats_previous(rows[lane]);
                run.copies = repeats ? run.copies + 1 : 0;
            }
            previous_norm = stats.sq_norm[lane];
            const bool is_candidate = !std::isnan(stats.sq_norm[lane]) && run.copies < run.enough;
            valid |= (is_candidate ? 1u : 0u) << lane;
        }
        panel.valid[block] = static_cast<std::uint16_t>(valid);
    }
}

void TileStage::sums(const Panel& panel, int first, int n, float* scores, std::size_t ld) const {
    const float* queries = queries_.data() + static_cast<std::size_t>(first / kBlockRows) * block_words_ + first % kBlockRows;
    tile_({queries, n, panel.blocks.data(), static_cast<std::size_t>(panel.n_blocks()), block_words_, n_steps_, scores, ld});
}

std::size_t TileStage::select(const Panel& panel, int query, const float* scores, float threshold,
                              const std::uint8_t* allowed, std::uint32_t excluded, core::Key* keys) const {
    const float add_scale = terms_[static_cast<std::size_t>(query)].add_scale;
    return select_({scores, static_cast<std::size_t>(panel.n_blocks()), panel.mul.data(), panel.add.data(), add_scale,
                    threshold, panel.ids.data(), panel.valid.data(), allowed, excluded, keys});
}

float TileStage::proven_threshold(int query, float bound, float max_add) const {
    const core::QueryTerms& terms = terms_[static_cast<std::size_t>(query)];
    if (!terms.bounded || !(std::abs(bound) < std::numeric_limits<float>::infinity())) {
        return -std::numeric_limits<float>::infinity();
    }
    return core::round_down(static_cast<double>(bound) - core::bound_width(terms, bound, max_add));
}

}  // namespace embmath::engine
