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

// What all codes of one kind share: how many coordinates, steps and weights. int8: half of the
// coordinates for every row, the others for survivors. int4: a quarter, and the next one.
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
    std::size_t query_steps(int rung) const { return ends_[rung] / 4; }  // words of a query up to there
    std::size_t first_word(int rung) const { return rung == 0 ? 0 : ends_[0] / 4 / codes_per_byte(); }
    std::size_t n_words(int rung) const { return ends_[rung] / 4 / codes_per_byte() - first_word(rung); }
    float step(std::int64_t coord) const { return steps_[static_cast<std::size_t>(coord)]; }
    float weight(std::int64_t coord) const { return weights_[static_cast<std::size_t>(coord)]; }

private:
    std::size_t codes_per_byte() const { return is_packed() ? 2 : 1; }

    CodeKind kind_;
    std::int64_t coded_[core::kRungs];
    std::size_t ends_[core::kRungs];    // multiples of 16: what lies beyond the coordinates is zero
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

// Sixteen lanes of rotated coordinates, y[coord * stride + lane], into codes: words[rung].
void encode_prefix(const PrefixPlane& plane, Metric metric, const float* y, std::size_t stride, const CentredRow* rows,
                   std::uint32_t* const* words, PrefixTerms& terms);

}  // namespace embmath::engine
