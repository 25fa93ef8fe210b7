// Rows of an index into every kind of codes that it keeps, whole blocks at a time.
#pragma once

#include <optional>

#include "engine/code_stage.hpp"
#include "engine/rotation.hpp"
#include "engine/snapshot.hpp"

namespace embmath::engine {

// One worker's.
class BlockEncoder {
public:
    static constexpr int kMostRows = Rotator::kBatch;

    BlockEncoder(const kernel::KernelTable& table, Metric metric, const CodeForms& forms, const RowReader& reader);

    // Rows [first, first + n), n <= kMostRows, into the blocks of `out` from `block` on; returns what
    // bounds need to know about them.
    Extent encode(std::int64_t first, int n, CodeBlocks& out, int block);

private:
    void encode_plain(std::int64_t first, int n, CodeBlocks& out, int block, Extent& extent);
    void encode_rotated(std::int64_t first, int n, CodeBlocks& out, int block, Extent& extent);
    CentredRow centre(int lane, std::int64_t row, Extent& extent);
    void mark(std::int64_t first, int n, CodeBlocks& out, int block) const;

    Metric metric_;
    const CodeForms& forms_;
    const RowReader& reader_;
    CodePacker packer_;
    std::optional<Rotator> rotator_;
    std::optional<PrefixCoder> coders_[kCodeKinds];
    double norms_[kMostRows];  // of the rows being encoded; NaN: holds NaN
};

}  // namespace embmath::engine
