#include "engine/prefix_plane.hpp"

#include <algorithm>
#include <cmath>

#include "core/dtype.hpp"

namespace embmath::engine {

namespace {

// Standard deviations of a code's error: a uniform grid of step s errs by s / sqrt(12); int8 spans
// 3.5 deviations of the widest coordinate with 127 steps, and a grid of 15 levels of its best width
// over a normal variable leaves 0.12 of it.
constexpr double kByteError = 3.5 / 127.0 * 0.28867513459481287, kNibbleError = 0.12;
constexpr float kNibbleWidth = 0.34F;    // best step of 15 levels, in deviations
constexpr double kLeastSpread = 1e-3;    // of the widest: narrower coordinates are treated as that wide

float round_near(float value) {  // to nearest, |value| < 2^22
    constexpr float kMagic = 0x1.8p23F;
    return (value + kMagic) - kMagic;
}

std::size_t whole_blocks(std::int64_t n) { return static_cast<std::size_t>((n + 15) / 16 * 16); }

}  // namespace

bool PrefixPlane::exists(Metric metric, Dtype dtype, std::int64_t n_cols) {
    const bool has_product = metric == Metric::cosine || metric == Metric::dot || metric == Metric::euclidean || metric == Metric::sqeuclidean;
    return has_product && !core::is_integer(dtype) && n_cols <= kMaxRotatedCols;
}

PrefixPlane::PrefixPlane(const Rotation& rotation, CodeKind kind) : kind_(kind) {
    const std::int64_t d = rotation.n_cols(), p = rotation.n_coords();
    const std::int64_t wanted[core::kRungs] = {is_packed() ? d / 4 : d / 2, is_packed() ? d / 2 : d};
    for (int rung = 0; rung < core::kRungs; ++rung) {
        ends_[rung] = whole_blocks(std::max<std::int64_t>(std::min(wanted[rung], p), 1));
        coded_[rung] = std::min(static_cast<std::int64_t>(ends_[rung]), p);
        shape_.is_whole[rung] = coded_[rung] == d;
    }
    double widest = 0.0;
    for (std::int64_t j = 0; j < p; ++j) widest = std::max(widest, rotation.spread(j));
    if (!(widest > 0.0)) widest = 1.0;
    shape_.most_weight = 0.0;
    shape_.least_weight = core::kInfinity;
    shape_.most_step = 0.0;
    for (std::int64_t j = 0; j < coded_[1]; ++j) {
        const double spread = std::max(rotation.spread(j) / widest, kLeastSpread);
        const double error = is_packed() ? kNibbleError * spread : kByteError;
        steps_.push_back(is_packed() ? static_cast<float>(spread) : 1.0F);
        weights_.push_back(static_cast<float>(std::sqrt(spread / error)));
        shape_.most_weight = std::max(shape_.most_weight, static_cast<double>(weights_.back()));
        shape_.least_weight = std::min(shape_.least_weight, static_cast<double>(weights_.back()));
        shape_.most_step = std::max(shape_.most_step, static_cast<double>(steps_.back()));
    }
    shape_.eps = rotation.eps();
    shape_.eta = core::rotation_error(coded_[1], shape_.eps);
}

namespace {

// Scales by which lanes are divided before rounding.
void first_scales(const PrefixPlane& plane, const float* y, std::size_t stride, float* scale) {
    const std::int64_t n = plane.n_coords();
    if (!plane.is_packed()) {
        float largest[kBlockRows] = {};
        for (std::int64_t j = 0; j < n; ++j) {
            const float* row = y + static_cast<std::size_t>(j) * stride;
            for (int l = 0; l < kBlockRows; ++l) largest[l] = std::max(largest[l], std::abs(row[l]));
        }
        for (int l = 0; l < kBlockRows; ++l) scale[l] = largest[l] / 127.0F;
        return;
    }
    float squares[kBlockRows] = {};
    for (std::int64_t j = 0; j < n; ++j) {
        const float* row = y + static_cast<std::size_t>(j) * stride;
        const float per_step = 1.0F / plane.step(j);
        for (int l = 0; l < kBlockRows; ++l) squares[l] += row[l] * per_step * (row[l] * per_step);
    }
    for (int l = 0; l < kBlockRows; ++l) scale[l] = kNibbleWidth * std::sqrt(squares[l] / static_cast<float>(n));
}

// Codes of sixteen lanes, one word of them at a time, and the best scale for them by weighted least
// squares.
class BlockCoder {
public:
    BlockCoder(const PrefixPlane& plane, const float* y, std::size_t stride) : plane_(plane), y_(y), stride_(stride) {
        float scale[kBlockRows];
        first_scales(plane, y, stride, scale);
        for (int l = 0; l < kBlockRows; ++l) {
            const bool is_usable = scale[l] > 0x1p-100F && scale[l] < 0x1p100F;
            per_scale_[l] = is_usable ? 1.0F / scale[l] : 0.0F;
        }
    }

    float code(std::int64_t j, int lane) const {
        const auto levels = static_cast<float>(plane_.levels());
        const float value = y_[static_cast<std::size_t>(j) * stride_ + static_cast<std::size_t>(lane)] * per_scale_[lane] / plane_.step(j);
        return round_near(std::min(std::max(value, -levels), levels));
    }

    void fit(float* scale, double* sq_code) const {
        double product[kBlockRows] = {}, square[kBlockRows] = {};
        std::fill_n(sq_code, kBlockRows, 0.0);
        for (std::int64_t j = 0; j < plane_.n_coords(); ++j) {
            const float* row = y_ + static_cast<std::size_t>(j) * stride_;
            const double weight = static_cast<double>(plane_.weight(j)) * static_cast<double>(plane_.weight(j));
            const auto step = static_cast<double>(plane_.step(j));
            for (int l = 0; l < kBlockRows; ++l) {
                const auto c = static_cast<double>(code(j, l));
                product[l] += weight * step * c * static_cast<double>(row[l]);
                square[l] += weight * step * step * c * c;
                sq_code[l] += c * c;
            }
        }
        for (int l = 0; l < kBlockRows; ++l) scale[l] = square[l] > 0.0 ? static_cast<float>(product[l] / square[l]) : 0.0F;
    }

    void write(std::uint32_t* const* words) const {
        const auto bias = static_cast<std::uint32_t>(plane_.bias());
        for (int rung = 0; rung < core::kRungs; ++rung) {
            for (std::size_t word = 0; word < plane_.n_words(rung); ++word) {
                std::uint32_t* out = words[rung] + word * kBlockRows;
                std::fill_n(out, kBlockRows, 0u);
                const std::size_t first = (plane_.first_word(rung) + word) * (plane_.is_packed() ? 8 : 4);
                for (std::size_t i = 0; i < (plane_.is_packed() ? 8u : 4u); ++i) {
                    const auto j = static_cast<std::int64_t>(first + i);
                    const auto shift = static_cast<unsigned>(i % 4 * 8 + i / 4 * 4);
                    for (int l = 0; l < kBlockRows; ++l) {
                        const auto c = j < plane_.n_coords() ? static_cast<std::int32_t>(code(j, l)) : 0;
                        out[l] |= (static_cast<std::uint32_t>(c) + bias) << shift;
                    }
                }
            }
        }
    }

private:
    const PrefixPlane& plane_;
    const float* y_;
    std::size_t stride_;
    float per_scale_[kBlockRows];
};

}  // namespace

void encode_prefix(const PrefixPlane& plane, Metric metric, const float* y, std::size_t stride, const CentredRow* rows,
                   std::uint32_t* const* words, PrefixTerms& terms) {
    const BlockCoder coder(plane, y, stride);
    float scale[kBlockRows];
    double sq_code[kBlockRows];
    coder.fit(scale, sq_code);
    coder.write(words);
    double sq_length[kBlockRows] = {}, sq_error[kBlockRows] = {};
    core::PrefixSums sums[kBlockRows];
    for (int rung = 0; rung < core::kRungs; ++rung) {
        for (std::int64_t j = rung == 0 ? 0 : plane.coded(0); j < plane.coded(rung); ++j) {
            const float* row = y + static_cast<std::size_t>(j) * stride;
            const auto weight = static_cast<double>(plane.weight(j)), step = static_cast<double>(plane.step(j));
            for (int l = 0; l < kBlockRows; ++l) {
                const auto value = static_cast<double>(row[l]);
                const double error = weight * (value - static_cast<double>(scale[l]) * step * static_cast<double>(coder.code(j, l)));
                sq_length[l] += value * value;
                sq_error[l] += error * error;
            }
        }
        for (int l = 0; l < kBlockRows; ++l) {
            sums[l].sq_length[rung] = sq_length[l];
            sums[l].sq_error[rung] = sq_error[l];
        }
    }
    terms.code_reach = 0.0;
    for (int l = 0; l < kBlockRows; ++l) {
        if (rows[l].bounded) {
            terms.code_reach = std::max(terms.code_reach, std::abs(static_cast<double>(scale[l])) * std::sqrt(sq_code[l]) * (1.0 + 0x1p-30));
        }
        sums[l].norm = rows[l].norm;
        sums[l].least_norm = rows[l].least_norm;
        sums[l].along_mean = rows[l].along_mean;
        for (int rung = 0; rung < core::kRungs; ++rung) {
            terms.row[rung][l] = rows[l].bounded ? core::prefix_row(metric, plane.shape(), rung, scale[l], sums[l])
                                                 : core::unbounded_row();
        }
    }
}

}  // namespace embmath::engine
