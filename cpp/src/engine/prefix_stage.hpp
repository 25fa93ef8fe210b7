// The stage of rotated codes, which only an index keeps: a prefix of the coordinates for every row,
// a longer one for those that it leaves.
#pragma once

#include <vector>

#include "engine/prefix_plane.hpp"
#include "engine/stage.hpp"

namespace embmath::engine {

class PrefixStage final : public Stage {
public:
    // `digits`: as for CodeStage.
    PrefixStage(const kernel::KernelTable& table, Metric metric, const RowReader& queries, std::int64_t first, int count,
                int digits, const Rotation& rotation, const PrefixPlane& plane, const core::BoundScales& scales);

    // Codes come from the index only.
    std::unique_ptr<BlockPacker> packer(const RowReader& rows) const override;
    core::Gate gate(int query, double tau, const Panel&) const override {
        return terms_[static_cast<std::size_t>(query)].gate(plane_.shape(), tau, scales_);
    }

private:
    void encode(int query, const float* y, std::size_t stride, core::PrefixQuery& terms);

    const kernel::KernelTable& table_;
    const PrefixPlane& plane_;
    core::BoundScales scales_;
    std::vector<core::PrefixQuery> terms_;
};

}  // namespace embmath::engine
