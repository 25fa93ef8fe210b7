#include "engine/decoded_stage.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/decoded_packer.hpp"

namespace embmath::engine {

namespace {

using kernel::SelectOp;

// The least a unit of a query's codes may be, beside its length, to stay a float32.
constexpr double kLeastUnit = 0x1p-80;

// What one digit may leave out of a query: a hundredth of a cosine brings some ten rows more to verify
// (n = 100k, d = 768).
constexpr double kMostRest = 0.01;

// Codes of fewer levels than they have bits are clamped, one by one, where they are decoded.
bool fills_its_bits(const CodeFormat& format) {
    return format.levels == (format.is_packed ? 15 : format.is_symmetric ? 127 : 255);
}

bool is_centered(const CodeGrid& grid) { return grid.center && grid.format.rounding != Rounding::nearest; }

SelectOp select_op(int digits) { return digits == 1 ? SelectOp::affine_i32_3 : SelectOp::wide_i32_3; }

}  // namespace

bool DecodedStage::exists(const kernel::KernelTable& table, Metric metric, const RowReader& rows, std::int64_t n_cols) {
    if (!table.multiplies_bytes || is_bits(metric) || metric == Metric::manhattan) return false;
    if (!rows.has_codes() || n_cols < 1 || n_cols > core::kMaxCodeDim) return false;
    const Coding coding = rows.decoder()->coding();
    if (coding.kind == Coding::Kind::signs) return true;
    // Towards zero: below it a place is the end of a code's values that is nearer, not their beginning.
    const bool is_two_sided = coding.grid.format.rounding == Rounding::truncate && coding.grid.format.is_signed;
    return coding.kind == Coding::Kind::scalar && fills_its_bits(coding.grid.format) && !(is_two_sided && coding.grid.center);
}

int DecodedStage::digits_for(const kernel::KernelTable& table, const RowReader& queries, std::int64_t first, int count, const RowReader& rows) {
    if (rows.decoder()->coding().kind != Coding::Kind::signs) return 2;
    const std::size_t n_cols = queries.n_cols();
    runtime::AlignedArray<std::byte> scratch(queries.scratch_bytes(1));
    runtime::AlignedArray<double> wide((n_cols + kBlockRows) / kBlockRows * kBlockRows);
    for (int query = 0; query < count; ++query) {
        table.widen[static_cast<int>(queries.dtype())](queries.row(first + query, scratch.data()), n_cols, wide.data());
        double sq_norm = 0.0, most = 0.0;
        for (std::size_t col = 0; col < n_cols; ++col) {
            sq_norm += wide[col] * wide[col];
            most = std::max(most, std::abs(wide[col]));
        }
        // Errors are uniform in steps that the largest number has code_levels of.
        const double step = most / table.code_levels;
        if (!(step * step * static_cast<double>(n_cols) / 12.0 <= kMostRest * kMostRest * sq_norm)) return 2;
    }
    return 1;
}

DecodedStage::DecodedStage(const kernel::KernelTable& table, Metric metric, const RowReader& queries, std::int64_t first,
                           int count, int digits, const RowReader& rows, const core::BoundScales& scales)
    : Stage(table, select_op(digits), digits),
      table_(table),
      metric_(metric),
      scales_(scales),
      layout_(rows, static_cast<std::int64_t>(queries.n_cols())),
      coding_(rows.decoder()->coding()),
      n_cols_(queries.n_cols()),
      n_lanes_(static_cast<std::size_t>(count * digits)),
      terms_(static_cast<std::size_t>(count)) {
    if (coding_.kind == Coding::Kind::scalar) {
        half_ = is_centered(coding_.grid) ? 0.5 : 0.0;
        shift_ = half_ + layout_.middle - (coding_.grid.format.is_symmetric ? 128 : 0);
        if (coding_.grid.scope == Scope::column) lay_out_columns();
    }
    query_words_ = layout_.mask.size() / 4 * static_cast<std::size_t>(layout_.parts);
    digits_of_queries_ = runtime::AlignedArray<std::uint32_t>(n_lanes_ * query_words_);
    std::fill(digits_of_queries_.begin(), digits_of_queries_.end(), 0u);
    start_ = runtime::AlignedArray<std::uint32_t>(n_lanes_);
    std::fill(start_.begin(), start_.end(), 0u);
    runtime::AlignedArray<std::byte> scratch(queries.scratch_bytes(1));
    runtime::AlignedArray<double> wide((n_cols_ + kBlockRows) / kBlockRows * kBlockRows);
    for (int query = 0; query < count; ++query) {
        table.widen[static_cast<int>(queries.dtype())](queries.row(first + query, scratch.data()), n_cols_, wide.data());
        add_query(query, wide.data());
    }
}

void DecodedStage::lay_out_columns() {
    const std::size_t n = (n_cols_ + kBlockRows - 1) / kBlockRows * kBlockRows;
    columns_.step = runtime::AlignedArray<float>(n);
    columns_.minimum = runtime::AlignedArray<float>(n);
    std::fill(columns_.step.begin(), columns_.step.end(), 0.0F);
    std::fill(columns_.minimum.begin(), columns_.minimum.end(), 0.0F);
    std::copy_n(coding_.grid.step, n_cols_, columns_.step.data());
    if (coding_.grid.minimum != nullptr) std::copy_n(coding_.grid.minimum, n_cols_, columns_.minimum.data());
    columns_.start.resize(n_cols_);
    for (std::size_t col = 0; col < n_cols_; ++col) {
        const double step = columns_.step.data()[col], start = columns_.minimum.data()[col] + step * shift_;
        columns_.start[col] = start;
        columns_.offset += start * start;
        columns_.most_step = std::max(columns_.most_step, std::abs(step));
    }
    columns_.offset = std::sqrt(columns_.offset) * core::kUp;
}

// What a bound needs to know of a query; one without bounds keeps every row.
void DecodedStage::add_query(int query, const double* x) {
    const bool has_columns = !columns_.start.empty();
    std::vector<double> y(x, x + n_cols_);  // with the steps of columns in it
    double sq_norm = 0.0, most = 0.0, along = 0.0, sq_reach = 0.0;
    for (std::size_t col = 0; col < n_cols_; ++col) {
        if (has_columns) y[col] *= columns_.step.data()[col];
        sq_norm += x[col] * x[col];
        sq_reach += y[col] * y[col];
        along += has_columns ? x[col] * columns_.start[col] : x[col];
        most = std::max(most, std::abs(y[col]));
    }
    core::DecodedQuery& terms = terms_[static_cast<std::size_t>(query)];
    terms.metric = metric_;
    if (!(sq_norm > 0.0 && sq_norm < core::kInfinity)) return;
    const double norm = std::sqrt(sq_norm) * core::kUp, reach = std::sqrt(sq_reach);
    const double unit = most / (table_.code_levels * (digits_ == 2 ? kernel::kDigitBase : 1));
    const bool fits = reach <= core::kMostLength * norm && std::abs(along) <= core::kMostLength * norm;
    if (!fits || !core::shares_units(metric_, std::ilogb(norm)) || !(reach == 0.0 || unit >= kLeastUnit * norm)) return;
    const double rest = reach == 0.0 ? 0.0 : write_digits(query, y, unit);
    const double slack = core::kDecodedSlack * scales_.rounding;
    terms.bounded = true;
    terms.norm = norm;
    terms.step = unit / norm;
    terms.along = along / norm;
    terms.residual = (rest * scales_.query + slack * reach) / norm * (1.0 + 0x1p-29);
    most_residual_ = std::max(most_residual_, terms.residual);
}

// y as integers of one digit, or of two to base 128, the low one in [-64, 64); returns the length of what that leaves out.
double DecodedStage::write_digits(int query, const std::vector<double>& y, double unit) {
    constexpr int kHalf = kernel::kDigitBase / 2;
    const auto lane = static_cast<std::size_t>(query * digits_);
    auto* high = reinterpret_cast<std::int8_t*>(digits_of_queries_.data() + lane * query_words_);
    auto* low = high + query_words_ * sizeof(std::uint32_t);
    double sq_rest = 0.0;
    int high_sum = 0, low_sum = 0;
    for (std::size_t col = 0; col < n_cols_; ++col) {
        const double code = std::nearbyint(y[col] / unit), rest = y[col] - unit * code;
        sq_rest += rest * rest;
        const std::size_t at = layout_.query_byte(col);
        auto upper = static_cast<int>(code);
        if (digits_ == 2) {
            const int whole = upper + kHalf;
            upper = whole >> 7;
            low[at] = static_cast<std::int8_t>(whole - upper * kernel::kDigitBase - kHalf);
            low_sum += low[at];
        }
        high[at] = static_cast<std::int8_t>(upper);
        high_sum += upper;
    }
    // Codes count from 0: the sums start from what the middle one adds.
    start_.data()[lane] = static_cast<std::uint32_t>(-layout_.middle * high_sum);
    if (digits_ == 2) start_.data()[lane + 1] = static_cast<std::uint32_t>(-layout_.middle * low_sum);
    return std::sqrt(sq_rest);
}

std::unique_ptr<BlockPacker> DecodedStage::packer(const RowReader& rows) const {
    return std::make_unique<DecodedPacker>(*this, rows);
}

void DecodedStage::sums(const Panel& panel, int first, int n, bool, std::uint32_t* scores, std::size_t ld) const {
    const std::uint32_t* block = panel.rung.blocks + static_cast<std::size_t>(first * digits_) * kBlockRows;
    for (int b = 0; b < panel.n_blocks(); ++b, block += panel.rung.block_words) {
        for (int lane = 0; lane < n * digits_; ++lane) {
            std::memcpy(scores + static_cast<std::size_t>(lane) * ld + static_cast<std::size_t>(b * kBlockRows),
                        block + lane * kBlockRows, kBlockRows * sizeof(std::uint32_t));
        }
    }
}

}  // namespace embmath::engine
