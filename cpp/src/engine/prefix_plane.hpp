// Codes of rotated rows: their shape, and how rows become codes. The certificate, and what the names
// mean, is in core/prefix_bounds.hpp.
#pragma once

#include <cstdint>
#include <vector>

#include "core/prefix_bounds.hpp"
#include "engine/panel.hpp"
#include "engine/rotation.hpp"

namespace embmath::engine {

inline constexpr std::int64_t kMaxRotatedCols = 4096;  // a rotation of more takes longer than it saves

// What all codes of one kind share: how many coordinates, steps and weights. int8: enough coordinates
// to discard most rows, and all others for survivors; int4: fewer of both.
class PrefixPlane {
public:
    PrefixPlane(const Rotation& rotation, CodeKind kind);

    // Whether rows of this width have codes of this kind at all.
    static bool exists(Metric metric, Dtype dtype, std::int64_t n_cols);

    const core::PrefixShape& shape() const { return shape_; }
    CodeKind kind() const { return kind_; }
    bool is_packed() const { return kind_ == CodeKind::int4; }  // two codes to a byte
    int levels() const { return is_packed() ? 7 : 127; }
    int bias() const { return levels() + 1; }  // codes are stored unsigned
    std::int64_t n_coords() const { return coded_[1]; }
    std::int64_t coded(int rung) const { return coded_[rung]; }
    // Words of a row: of the first coordinates, interleaved with those of fifteen other rows, and of
    // the further ones, by themselves and padded to whole vectors.
    std::size_t block_steps() const { return ends_[0] / 4 / codes_per_byte(); }
    std::size_t row_words() const {
        const std::size_t bytes = (ends_[1] - ends_[0]) / codes_per_byte();
        return (bytes + 63) / 64 * 16;
    }
    std::size_t query_steps() const { return ends_[0] / 4; }
    std::size_t query_words() const { return row_words() * codes_per_byte(); }  // for the further ones
    float step(std::int64_t coord) const { return steps_[static_cast<std::size_t>(coord)]; }
    float weight(std::int64_t coord) const { return weights_[static_cast<std::size_t>(coord)]; }

private:
    std::size_t codes_per_byte() const { return is_packed() ? 2 : 1; }

    CodeKind kind_;
    std::int64_t coded_[core::kRungs];
    std::size_t ends_[core::kRungs];    // coordinates beyond the coded ones, up to a multiple of 16, are zero
    std::vector<float> steps_, weights_;
    core::PrefixShape shape_;
};

// A row about to be coded.
struct CentredRow {
    bool bounded = false;
    double norm = 0.0, least_norm = 0.0, along_mean = 0.0;
};

struct PrefixTerms {
    core::RowTerms row[core::kRungs][kBlockRows];
    double code_reach;  // largest s|c|
};

// Codes rotated rows, sixteen at a time.
class PrefixCoder {
public:
    PrefixCoder(const PrefixPlane& plane, Metric metric);

    // Lanes of coordinates, y[coord * stride + lane], into one packed block and sixteen rows of words.
    void encode(const float* y, std::size_t stride, const CentredRow* rows, std::uint32_t* block, std::uint32_t* longer,
                PrefixTerms& terms);

private:
    void round(const float* y, std::size_t stride);
    void fit(const float* y, std::size_t stride);
    void measure(const float* y, std::size_t stride, core::PrefixSums* sums) const;
    void write(std::uint32_t* block, std::uint32_t* longer) const;

    const PrefixPlane& plane_;
    Metric metric_;
    std::vector<float> codes_;    // [coord][16]
    float scale_[kBlockRows];
    double sq_code_[kBlockRows];
};

}  // namespace embmath::engine
