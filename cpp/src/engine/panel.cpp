#include "engine/panel.hpp"

#include <algorithm>
#include <cmath>

#include "engine/hits.hpp"

namespace embmath::engine {

PanelBuffer::PanelBuffer(const RowReader& rows, std::unique_ptr<BlockPacker> packer, int max_rows)
    : rows_(rows), packer_(std::move(packer)) {
    const auto n_blocks = static_cast<std::size_t>(blocks_of(max_rows));
    const std::size_t n_lanes = n_blocks * kBlockRows;
    blocks_ = runtime::AlignedArray<std::uint32_t>(n_blocks * packer_->block_words());
    mul_ = runtime::AlignedArray<float>(n_lanes);
    for (auto& add : add_) add = runtime::AlignedArray<float>(n_lanes);
    ids_ = runtime::AlignedArray<std::uint32_t>(n_lanes);
    valid_ = runtime::AlignedArray<std::uint16_t>(n_blocks);
}

std::size_t PanelBuffer::bytes(std::size_t block_words, int max_rows) {
    const auto n_blocks = static_cast<std::size_t>(blocks_of(max_rows));
    return n_blocks * (block_words + kBlockRows * (2 + core::kMaxTerms)) * sizeof(std::uint32_t);
}

void PanelBuffer::fill(const std::uint32_t* ids, int n_rows, std::int64_t base, RunLimit run) {
    n_rows_ = n_rows;
    least_ratio_ = core::kInfinity;
    double norm_sum = 0.0, previous_norm = -1.0;
    BlockTerms terms;
    for (int block = 0; block < blocks_of(n_rows); ++block) {
        const int first = block * kBlockRows;
        const int n = std::min(kBlockRows, n_rows - first);
        std::int64_t rows[kBlockRows];
        for (int lane = 0; lane < n; ++lane) rows[lane] = base + ids[first + lane];
        packer_->pack(rows, n, blocks_.data() + static_cast<std::size_t>(block) * packer_->block_words(), terms);
        unsigned valid = 0;
        for (int lane = 0; lane < kBlockRows; ++lane) {
            const auto i = static_cast<std::size_t>(first + lane);
            ids_[i] = lane < n ? ids[first + lane] : 0;
            mul_[i] = terms.row[lane].mul;
            for (int term = 0; term < core::kMaxTerms; ++term) add_[term][i] = terms.row[lane].add[term];
            if (lane >= n) continue;
            if (i > 0 && run.enough != kNoLimit) {
                const bool repeats = terms.norm[lane] == previous_norm && rows_.repeats_previous(rows[lane]);
                run.copies = repeats ? run.copies + 1 : 0;
            }
            previous_norm = terms.norm[lane];
            const bool is_candidate = !std::isnan(terms.norm[lane]) && run.copies < run.enough;
            valid |= (is_candidate ? 1u : 0u) << lane;
            if (terms.norm[lane] < core::kInfinity) norm_sum += terms.norm[lane];
        }
        valid_[static_cast<std::size_t>(block)] = static_cast<std::uint16_t>(valid);
        least_ratio_ = std::min(least_ratio_, terms.least_ratio);
    }
    if (least_ratio_ == core::kInfinity) least_ratio_ = 0.0;  // rows of zeros only
    typical_norm_ = norm_sum / std::max(n_rows, 1);
}

Panel PanelBuffer::view() const {
    const Rung rung{blocks_.data(), packer_->block_words(), mul_.data(), {add_[0].data(), add_[1].data(), add_[2].data()}};
    return {rung, {}, ids_.data(), nullptr, valid_.data(), n_rows_, least_ratio_, typical_norm_, 0.0, 0.0};
}

}  // namespace embmath::engine
