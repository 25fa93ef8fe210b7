#include "engine/stage.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace embmath::engine {

namespace {

// The bound's part that is the same for all rows of a panel.
float constant_of(const core::Gate& gate, const Panel& panel) {
    if (gate.norm_weight == 0.0F && gate.code_weight == 0.0F) return gate.constant;
    const double grown = static_cast<double>(gate.norm_weight) * panel.largest_norm + static_cast<double>(gate.code_weight) * panel.code_reach;
    return core::round_up(static_cast<double>(gate.constant) + grown);
}

}  // namespace

void Stage::allocate_queries(int count, std::size_t n_steps, std::size_t block_words) {
    n_steps_ = n_steps;
    block_words_ = block_words;
    queries_ = runtime::AlignedArray<std::uint32_t>(static_cast<std::size_t>(blocks_of(count * digits_)) * block_words);
}

void Stage::sums(const Panel& panel, int first, int n, bool from_memory, std::uint32_t* scores, std::size_t ld) const {
    const auto lane = static_cast<std::size_t>(first * digits_);
    const std::uint32_t* queries = queries_.data() + lane / kBlockRows * block_words_ + lane % kBlockRows;
    const std::uint32_t* start = start_.size() == 0 ? nullptr : start_.data() + lane;
    tile_({queries, n * digits_, panel.rung.blocks, static_cast<std::size_t>(panel.n_blocks()), panel.rung.block_words,
           n_steps_, start, scores, ld, rows_.size() == 0 ? nullptr : rows_.data() + lane * n_steps_, n_steps_,
           from_memory});
}

std::size_t Stage::select(const Panel& panel, int first, int last, int slot, const std::uint32_t* scores,
                          std::size_t ld, const core::Gate& gate, const Exclusion& exclusion, core::Key* keys) const {
    const auto row = static_cast<std::size_t>(first * kBlockRows);
    const float scale = std::max(gate.scale - gate.tilt * static_cast<float>(panel.least_ratio), 0.0F);
    const std::uint32_t* own = scores + static_cast<std::size_t>(slot * digits_) * ld + row;
    Rung rung = panel.rung;
    rung.skip(first);
    return select_({own, own + ld, static_cast<std::size_t>(last - first), rung.mul, {rung.add[0], rung.add[1], rung.add[2]},
                    scale, constant_of(gate, panel), {gate.weight[0], gate.weight[1], gate.weight[2]}, gate.threshold,
                    panel.ids + row, panel.valid + first, exclusion.allowed, exclusion.id, keys});
}

std::size_t Stage::refine(const Panel& panel, int query, int slot, const std::uint32_t* scores, std::size_t ld,
                          const core::Gate& gate, core::Key* keys, std::size_t count) const {
    if (panel.longer.codes == nullptr) return count;
    constexpr std::size_t kTogether = 64;
    const auto lane = static_cast<std::size_t>(query * digits_);
    const std::uint32_t* own = scores + static_cast<std::size_t>(slot * digits_) * ld;
    const float constant = constant_of(gate, panel);
    std::size_t kept = 0;
    for (std::size_t first = 0; first < count; first += kTogether) {
        const std::size_t n = std::min(kTogether, count - first);
        std::uint32_t rows[kTogether];
        std::int32_t sums[2][kTogether] = {};
        for (std::size_t i = 0; i < n; ++i) rows[i] = core::key_row(keys[first + i]) - panel.ids[0];
        for (std::size_t digit = 0; digit < static_cast<std::size_t>(digits_); ++digit) {
            for (std::size_t i = 0; i < n; ++i) {
                sums[digit][i] = static_cast<std::int32_t>(own[digit * ld + rows[i]]) + longer_start_[lane + digit];
            }
            longer_rows_({longer_queries_.data() + (lane + digit) * longer_words_, panel.longer.codes, panel.longer.row_words,
                          rows, n, sums[digit]});
        }
        for (std::size_t i = 0; i < n; ++i) {
            const double sum = digits_ == 1 ? sums[0][i] : static_cast<double>(sums[0][i]) * kernel::kDigitBase + sums[1][i];
            const std::uint32_t row = rows[i];
            float bound = constant + panel.longer.radius[row] * gate.refined_weight;
            bound += panel.rung.add[1][row] * gate.weight[1];
            bound += static_cast<float>(sum) * (panel.rung.mul[row] * gate.scale);
            if (!(bound < gate.threshold)) keys[kept++] = core::make_key(std::isnan(bound) ? std::numeric_limits<float>::infinity() : bound, panel.ids[row]);
        }
    }
    return kept;
}

}  // namespace embmath::engine
