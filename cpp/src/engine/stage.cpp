#include "engine/stage.hpp"

#include <algorithm>

namespace embmath::engine {

void Stage::allocate_queries(int count, std::size_t n_steps, std::size_t block_words) {
    n_steps_ = n_steps;
    block_words_ = block_words;
    queries_ = runtime::AlignedArray<std::uint32_t>(static_cast<std::size_t>(blocks_of(count * digits_)) * block_words);
}

void Stage::sums(const Panel& panel, int first, int n, bool from_memory, std::uint32_t* scores, std::size_t ld) const {
    const auto lane = static_cast<std::size_t>(first * digits_);
    const std::uint32_t* queries = queries_.data() + lane / kBlockRows * block_words_ + lane % kBlockRows;
    const std::uint32_t* start = start_.size() == 0 ? nullptr : start_.data() + lane;
    tile_({queries, n * digits_, panel.blocks, static_cast<std::size_t>(panel.n_blocks()), panel.block_words, n_steps_,
           start, scores, ld, rows_.size() == 0 ? nullptr : rows_.data() + lane * n_steps_, n_steps_,
           from_memory});
}

std::size_t Stage::select(const Panel& panel, int first, int last, int query_of_group, const std::uint32_t* scores,
                          std::size_t ld, const core::Gate& gate, const Exclusion& exclusion, core::Key* keys) const {
    const auto row = static_cast<std::size_t>(first * kBlockRows);
    const float scale = std::max(gate.scale - gate.tilt * static_cast<float>(panel.least_ratio), 0.0F);
    const std::uint32_t* own = scores + static_cast<std::size_t>(query_of_group * digits_) * ld + row;
    return select_({own, own + ld, static_cast<std::size_t>(last - first), panel.mul + row,
                    {panel.add[0] + row, panel.add[1] + row, panel.add[2] + row}, scale, gate.constant,
                    {gate.weight[0], gate.weight[1], gate.weight[2]}, gate.threshold, panel.ids + row,
                    panel.valid + first, exclusion.allowed, exclusion.id, keys});
}

}  // namespace embmath::engine
