// The float32 stage (of packed bits: counts), packed chunk by chunk from the rows themselves.
#pragma once

#include <vector>

#include "core/float_bounds.hpp"
#include "engine/packing.hpp"
#include "engine/scorer.hpp"
#include "engine/stage.hpp"

namespace embmath::engine {

class FloatStage final : public Stage {
public:
    // Whether this metric and type have a certified stage at all.
    static bool exists(Metric metric, Dtype query_dtype, Dtype row_dtype, std::int64_t n_cols);

    // Batch [first, first + count) of the queries; `scorer` holds the same batch.
    FloatStage(const kernel::KernelTable& table, Metric metric, const RowReader& queries, std::int64_t first, int count,
               const Scorer& scorer, const core::BoundScales& scales);

    std::unique_ptr<BlockPacker> packer(const RowReader& rows) const override;
    core::Gate gate(int query, double tau, const Panel&) const override {
        return terms_[static_cast<std::size_t>(query)].gate(tau);
    }

private:
    const kernel::KernelTable& table_;
    Metric metric_;
    double slack_;
    std::vector<core::FloatQuery> terms_;
};

}  // namespace embmath::engine
