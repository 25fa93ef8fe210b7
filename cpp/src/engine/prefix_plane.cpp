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

// How much of the variance a prefix should hold: measured on spectra like 1/j and on sentence
// embeddings. Less leaves more rows to refine, more costs every row.
constexpr double kByteShare = 0.90, kNibbleShare = 0.80, kLongNibbleShare = 0.94;

float round_near(float value) {  // to nearest, |value| < 2^22
    constexpr float kMagic = 0x1.8p23F;
    return (value + kMagic) - kMagic;
}

std::size_t whole_blocks(std::int64_t n) { return static_cast<std::size_t>((n + 15) / 16 * 16); }

// The fewest coordinates that hold this share of the variance.
std::int64_t coords_holding(const Rotation& rotation, double share) {
    const auto variance = [&](std::int64_t j) { return rotation.spread(j) * rotation.spread(j); };
    double total = 0.0, sum = 0.0;
    for (std::int64_t j = 0; j < rotation.n_coords(); ++j) total += variance(j);
    std::int64_t n = 0;
    while (n < rotation.n_coords() && sum < share * total) sum += variance(n++);
    return n;
}

}  // namespace

bool PrefixPlane::exists(Metric metric, Dtype dtype, std::int64_t n_cols) {
    const bool has_product = metric == Metric::cosine || metric == Metric::dot || core::is_euclidean(metric);
    return has_product && !core::is_integer(dtype) && n_cols <= kMaxRotatedCols;
}

PrefixPlane::PrefixPlane(const Rotation& rotation, CodeKind kind) : kind_(kind) {
    const std::int64_t d = rotation.n_cols(), p = rotation.n_coords();
    const auto between = [&](double share, double least, double most) {
        const auto width = static_cast<double>(d);
        const std::int64_t n = coords_holding(rotation, share);
        return std::min(std::clamp(n, static_cast<std::int64_t>(least * width), static_cast<std::int64_t>(most * width)), p);
    };
    const std::int64_t wanted[core::kRungs] = {
        is_packed() ? between(kNibbleShare, 0.0625, 0.5) : between(kByteShare, 0.125, 0.75),
        is_packed() ? between(kLongNibbleShare, 0.125, 0.75) : d};
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

PrefixCoder::PrefixCoder(const PrefixPlane& plane, Metric metric)
    : plane_(plane), metric_(metric), codes_(static_cast<std::size_t>(plane.n_coords()) * kBlockRows) {}

void PrefixCoder::encode(const float* y, std::size_t stride, const CentredRow* rows, std::uint32_t* block,
                         std::uint32_t* longer, PrefixTerms& terms) {
    round(y, stride);
    fit(y, stride);
    write(block, longer);
    core::PrefixSums sums[kBlockRows];
    measure(y, stride, sums);
    terms.code_reach = 0.0;
    for (int l = 0; l < kBlockRows; ++l) {
        sums[l].norm = rows[l].norm;
        sums[l].least_norm = rows[l].least_norm;
        sums[l].along_mean = rows[l].along_mean;
        for (int rung = 0; rung < core::kRungs; ++rung) {
            terms.row[rung][l] = rows[l].bounded ? core::prefix_row(metric_, plane_.shape(), rung, scale_[l], sums[l])
                                                 : core::unbounded_row();
        }
        if (!rows[l].bounded) continue;
        const double reach = std::abs(static_cast<double>(scale_[l])) * std::sqrt(sq_code_[l]);
        terms.code_reach = std::max(terms.code_reach, reach * (1.0 + 0x1p-30));
    }
}

// Codes by a first guess of the scale: what spans the largest coordinate, or the best grid for normal
// variables.
void PrefixCoder::round(const float* y, std::size_t stride) {
    float guess[kBlockRows] = {}, per_scale[kBlockRows];
    const auto n = static_cast<std::size_t>(plane_.n_coords());
    for (std::size_t j = 0; j < n; ++j) {
        const float per_step = 1.0F / plane_.step(static_cast<std::int64_t>(j));
        for (int l = 0; l < kBlockRows; ++l) {
            const float value = std::abs(y[j * stride + static_cast<std::size_t>(l)] * per_step);
            guess[l] = plane_.is_packed() ? guess[l] + value * value : std::max(guess[l], value);
        }
    }
    for (int l = 0; l < kBlockRows; ++l) {
        const float scale = plane_.is_packed() ? kNibbleWidth * std::sqrt(guess[l] / static_cast<float>(n)) : guess[l] / 127.0F;
        per_scale[l] = scale > 0x1p-100F && scale < 0x1p100F ? 1.0F / scale : 0.0F;
    }
    const auto levels = static_cast<float>(plane_.levels());
    for (std::size_t j = 0; j < n; ++j) {
        const float per_step = 1.0F / plane_.step(static_cast<std::int64_t>(j));
        for (int l = 0; l < kBlockRows; ++l) {
            const float value = y[j * stride + static_cast<std::size_t>(l)] * per_step * per_scale[l];
            codes_[j * kBlockRows + static_cast<std::size_t>(l)] = round_near(std::min(std::max(value, -levels), levels));
        }
    }
}

// The best scale for these codes, by weighted least squares.
void PrefixCoder::fit(const float* y, std::size_t stride) {
    double product[kBlockRows] = {}, square[kBlockRows] = {};
    std::fill_n(sq_code_, kBlockRows, 0.0);
    for (std::size_t j = 0; j < static_cast<std::size_t>(plane_.n_coords()); ++j) {
        const auto coord = static_cast<std::int64_t>(j);
        const double weight = static_cast<double>(plane_.weight(coord)) * static_cast<double>(plane_.weight(coord));
        const auto step = static_cast<double>(plane_.step(coord));
        for (int l = 0; l < kBlockRows; ++l) {
            const auto c = static_cast<double>(codes_[j * kBlockRows + static_cast<std::size_t>(l)]);
            product[l] += weight * step * c * static_cast<double>(y[j * stride + static_cast<std::size_t>(l)]);
            square[l] += weight * step * step * c * c;
            sq_code_[l] += c * c;
        }
    }
    for (int l = 0; l < kBlockRows; ++l) scale_[l] = square[l] > 0.0 ? static_cast<float>(product[l] / square[l]) : 0.0F;
}

void PrefixCoder::measure(const float* y, std::size_t stride, core::PrefixSums* sums) const {
    double sq_length[kBlockRows] = {}, sq_error[kBlockRows] = {};
    for (int rung = 0; rung < core::kRungs; ++rung) {
        for (std::int64_t coord = rung == 0 ? 0 : plane_.coded(0); coord < plane_.coded(rung); ++coord) {
            const auto j = static_cast<std::size_t>(coord);
            const auto weight = static_cast<double>(plane_.weight(coord)), step = static_cast<double>(plane_.step(coord));
            for (int l = 0; l < kBlockRows; ++l) {
                const auto value = static_cast<double>(y[j * stride + static_cast<std::size_t>(l)]);
                const auto c = static_cast<double>(codes_[j * kBlockRows + static_cast<std::size_t>(l)]);
                const double error = weight * (value - static_cast<double>(scale_[l]) * step * c);
                sq_length[l] += value * value;
                sq_error[l] += error * error;
            }
        }
        for (int l = 0; l < kBlockRows; ++l) {
            sums[l].sq_length[rung] = sq_length[l];
            sums[l].sq_error[rung] = sq_error[l];
        }
    }
}

void PrefixCoder::write(std::uint32_t* block, std::uint32_t* longer) const {
    const auto bias = static_cast<std::uint32_t>(plane_.bias());
    const auto n = static_cast<std::size_t>(plane_.n_coords());
    const auto code = [&](std::size_t j, int lane) -> std::uint32_t {
        return j < n ? static_cast<std::uint32_t>(static_cast<std::int32_t>(codes_[j * kBlockRows + static_cast<std::size_t>(lane)])) + bias : bias;
    };
    const std::size_t per_word = plane_.is_packed() ? 8 : 4;
    for (std::size_t word = 0; word < plane_.block_steps(); ++word) {
        std::uint32_t* out = block + word * kBlockRows;
        std::fill_n(out, kBlockRows, 0u);
        for (std::size_t i = 0; i < per_word; ++i) {
            for (int l = 0; l < kBlockRows; ++l) out[l] |= code(word * per_word + i, l) << (i % 4 * 8 + i / 4 * 4);
        }
    }
    const auto first = static_cast<std::size_t>(plane_.coded(0));
    const std::size_t vectors = plane_.row_words() / 16;
    for (int l = 0; l < kBlockRows; ++l) {
        auto* row = reinterpret_cast<std::uint8_t*>(longer + static_cast<std::size_t>(l) * plane_.row_words());
        for (std::size_t v = 0; v < vectors; ++v) {
            for (std::size_t i = 0; i < 64; ++i) {
                std::uint32_t byte = code(first + v * 16 * per_word + i, l);
                if (plane_.is_packed()) byte |= code(first + v * 16 * per_word + 64 + i, l) << 4;
                row[v * 64 + i] = static_cast<std::uint8_t>(byte);
            }
        }
    }
}

}  // namespace embmath::engine
