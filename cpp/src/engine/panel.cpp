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

std::uint16_t PanelBuffer::valid_rows(const BlockTerms& terms, const std::int64_t* rows, int n, const double* previous,
                                      RunLimit& run) const {
    double before[kBlockRows];
    before[0] = previous == nullptr ? std::nan("") : *previous;
    std::copy_n(terms.norm, kBlockRows - 1, before + 1);
    bool is_nan = false, may_repeat = previous == nullptr && run.copies > 0;
    for (int lane = 0; lane < n; ++lane) {
        is_nan |= std::isnan(terms.norm[lane]);
        may_repeat |= terms.norm[lane] == before[lane];
    }
    may_repeat &= run.enough != kNoLimit;
    if (!is_nan && !may_repeat) {
        run.copies = 0;
        return static_cast<std::uint16_t>((1u << n) - 1u);
    }
    unsigned valid = 0;
    for (int lane = 0; lane < n; ++lane) {
        if (lane > 0 || previous != nullptr) {
            const bool repeats = may_repeat && terms.norm[lane] == before[lane] && rows_.repeats_previous(rows[lane]);
            run.copies = repeats ? run.copies + 1 : 0;
        }
        const bool is_candidate = !std::isnan(terms.norm[lane]) && run.copies < run.enough;
        valid |= (is_candidate ? 1u : 0u) << lane;
    }
    return static_cast<std::uint16_t>(valid);
}

void PanelBuffer::fill(const std::uint32_t* ids, int n_rows, std::int64_t base, RunLimit run) {
    n_rows_ = n_rows;
    least_ratio_ = core::kInfinity;
    double norm_sum = 0.0, last_norm = 0.0;
    BlockTerms terms;
    for (int block = 0; block < blocks_of(n_rows); ++block) {
        const int first = block * kBlockRows;
        const int n = std::min(kBlockRows, n_rows - first);
        std::int64_t rows[kBlockRows];
        for (int lane = 0; lane < n; ++lane) rows[lane] = base + ids[first + lane];
        packer_->pack(rows, n, blocks_.data() + static_cast<std::size_t>(block) * packer_->block_words(), terms);
        const auto at = static_cast<std::size_t>(first);
        std::fill_n(std::copy_n(ids + first, n, ids_.data() + at), kBlockRows - n, 0u);
        std::copy_n(terms.mul, kBlockRows, mul_.data() + at);
        for (int term = 0; term < core::kMaxTerms; ++term) std::copy_n(terms.add[term], kBlockRows, add_[term].data() + at);
        valid_[static_cast<std::size_t>(block)] = valid_rows(terms, rows, n, block == 0 ? nullptr : &last_norm, run);
        last_norm = terms.norm[n - 1];
        for (int lane = 0; lane < n; ++lane) norm_sum += terms.norm[lane] < core::kInfinity ? terms.norm[lane] : 0.0;
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
