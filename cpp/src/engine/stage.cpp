#include "engine/stage.hpp"

#include <algorithm>

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
    n_steps_ = query_words_ = n_steps;
    block_words_ = block_words;
    queries_ = runtime::AlignedArray<std::uint32_t>(static_cast<std::size_t>(blocks_of(count * digits_)) * block_words);
}

void Stage::sums(const Panel& panel, int first, int n, bool from_memory, std::uint32_t* scores, std::size_t ld) const {
    const auto lane = static_cast<std::size_t>(first * digits_);
    const std::uint32_t* queries = queries_.data() + lane / kBlockRows * block_words_ + lane % kBlockRows;
    const std::uint32_t* start = start_.size() == 0 ? nullptr : start_.data() + lane;
    tile_({queries, n * digits_, panel.rung.blocks, static_cast<std::size_t>(panel.n_blocks()), panel.rung.block_words,
           n_steps_, start, scores, ld, rows_.size() == 0 ? nullptr : rows_.data() + lane * query_words_, query_words_,
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

// A block at a time: the sums go on where those of the shorter rung ended.
std::size_t Stage::refine(const Panel& panel, int query, int slot, const std::uint32_t* scores, std::size_t ld,
                          const core::Gate& gate, core::Key* keys, std::size_t count) const {
    if (panel.longer.blocks == nullptr) return count;
    const auto lane = static_cast<std::size_t>(query * digits_);
    const std::uint32_t* queries = queries_.data() + lane / kBlockRows * block_words_ + lane % kBlockRows + longer_word_ * kBlockRows;
    const std::uint32_t* own = scores + static_cast<std::size_t>(slot * digits_) * ld;
    const float constant = constant_of(gate, panel);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count;) {
        const std::uint32_t block = (core::key_row(keys[i]) - panel.ids[0]) / kBlockRows;
        std::uint16_t lanes = 0;
        for (; i < count && (core::key_row(keys[i]) - panel.ids[0]) / kBlockRows == block; ++i) {
            lanes |= static_cast<std::uint16_t>(1u << (core::key_row(keys[i]) - panel.ids[0]) % kBlockRows);
        }
        Rung rung = panel.longer;
        rung.skip(static_cast<int>(block));
        const std::size_t row = block * kBlockRows;
        alignas(64) std::uint32_t sums[2 * kBlockRows];
        tile_({queries, digits_, rung.blocks, 1, rung.block_words, longer_steps_, longer_start_.data() + lane, sums, kBlockRows});
        for (int digit = 0; digit < digits_; ++digit) {
            const std::uint32_t* shorter = own + static_cast<std::size_t>(digit) * ld + row;
            for (int l = 0; l < kBlockRows; ++l) sums[digit * kBlockRows + l] += shorter[l];
        }
        core::Key found[kBlockRows];
        const std::size_t n = select_({sums, sums + kBlockRows, 1, rung.mul, {rung.add[0], rung.add[1], rung.add[2]}, gate.scale,
                                       constant, {gate.refined_weight, gate.weight[1], gate.weight[2]}, gate.threshold,
                                       panel.ids + row, &lanes, nullptr, 0xffffffffu, found});
        std::copy_n(found, n, keys + kept);
        kept += n;
    }
    return kept;
}

}  // namespace embmath::engine
