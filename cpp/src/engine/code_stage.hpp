// The int8 stage: codes with one least-squares scale per row, made on the fly or kept by an index.
#pragma once

#include <vector>

#include "core/code_bounds.hpp"
#include "engine/stage.hpp"

namespace embmath::engine {

// Rows as biased codes, block[step][16][4]: portable, the same for every instruction set.
class CodePacker final : public BlockPacker {
public:
    CodePacker(const kernel::KernelTable& table, Metric metric, const RowReader& rows);

    static std::size_t block_words(std::size_t n_cols) { return (n_cols + 3) / 4 * kBlockRows; }
    std::size_t block_words() const override { return block_words(rows_.n_cols()); }
    void pack(const std::int64_t* rows, int n, std::uint32_t* block, BlockTerms& terms) override;

private:
    const kernel::KernelTable& table_;
    Metric metric_;
    const RowReader& rows_;
    std::size_t code_stride_;
    runtime::AlignedArray<std::uint8_t> codes_;  // 16 rows, one after the other
    runtime::AlignedArray<std::byte> scratch_;
};

class CodeStage final : public Stage {
public:
    static bool exists(Metric metric, Dtype query_dtype, Dtype row_dtype, std::int64_t n_cols);

    // `digits`: 1, or 2 where memory bandwidth and not arithmetic is what a query costs.
    CodeStage(const kernel::KernelTable& table, Metric metric, const RowReader& queries, std::int64_t first, int count,
              int digits, const core::BoundScales& scales);

    std::unique_ptr<BlockPacker> packer(const RowReader& rows) const override;
    core::Gate gate(int query, double tau, const Panel& panel) const override {
        return terms_[static_cast<std::size_t>(query)].gate(tau, panel.typical_norm, scales_);
    }

private:
    const kernel::KernelTable& table_;
    Metric metric_;
    core::BoundScales scales_;
    std::vector<core::CodeQuery> terms_;
};

}  // namespace embmath::engine
