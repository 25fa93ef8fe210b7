#include "engine/code_stage.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/dtype.hpp"
#include "engine/scorer.hpp"

namespace embmath::engine {

namespace {

using kernel::SelectOp;

constexpr int kBias = 128;  // row codes are unsigned in the tile
constexpr int kRowLevels = 127;

core::CodeSums as_sums(const kernel::EncodeSums& sums) {
    return {sums.max_abs, sums.sq_norm, sums.product, sums.sq_code};
}

std::size_t code_bytes(std::size_t n_cols) { return (n_cols + kBlockRows - 1) / kBlockRows * kBlockRows; }

SelectOp select_op(Metric metric, int digits) {
    constexpr SelectOp kOps[2][core::kMaxTerms] = {
        {SelectOp::affine_i32_1, SelectOp::affine_i32_2, SelectOp::affine_i32_3},
        {SelectOp::wide_i32_1, SelectOp::wide_i32_2, SelectOp::wide_i32_3}};
    return kOps[digits - 1][core::code_terms(metric) - 1];
}

// A query as integers of up to `levels` in magnitude, split into digits 128 * high + low with
// -64 <= low < 64. Few queries only: plain C++.
kernel::EncodeSums encode_wide(const double* query, std::size_t n_cols, int levels, std::int8_t* high, std::int8_t* low) {
    double max_abs = 0.0;
    for (std::size_t i = 0; i < n_cols; ++i) max_abs = std::max(max_abs, std::abs(query[i]));
    const bool is_usable = max_abs > 0.0 && max_abs <= std::numeric_limits<float>::max();
    const double per_unit = is_usable ? levels * kernel::kDigitBase / max_abs : 0.0;
    kernel::EncodeSums sums{is_usable ? max_abs : 0.0, 0.0, 0.0, 0.0};
    for (std::size_t i = 0; i < n_cols; ++i) {
        const double scaled = query[i] * per_unit;  // NaN, or far too large, only where nothing is bounded
        const double code = std::abs(scaled) <= levels * kernel::kDigitBase + 0.5 ? std::nearbyint(scaled) : 0.0;
        const int digits = static_cast<int>(code) + kernel::kDigitBase / 2;
        const int upper = digits >> 7;
        high[i] = static_cast<std::int8_t>(upper);
        low[i] = static_cast<std::int8_t>(digits - upper * kernel::kDigitBase - kernel::kDigitBase / 2);
        sums.sq_norm += query[i] * query[i];
        sums.product += query[i] * code;
        sums.sq_code += code * code;
    }
    return sums;
}

}  // namespace

CodePacker::CodePacker(const kernel::KernelTable& table, Metric metric, const RowReader& rows)
    : table_(table),
      metric_(metric),
      rows_(rows),
      code_stride_(code_bytes(rows.n_cols())),
      codes_(kBlockRows * code_stride_),
      scratch_(rows.scratch_bytes(kBlockRows)) {}

void CodePacker::pack(const std::int64_t* rows, int n, std::uint32_t* block, BlockTerms& terms) {
    const void* data[kBlockRows];
    const void* codes[kBlockRows];
    rows_.rows(rows, n, scratch_.data(), data);
    terms.least_ratio = core::kInfinity;
    const kernel::EncodeFn encode = table_.encode[static_cast<int>(rows_.dtype())];
    for (int lane = 0; lane < n; ++lane) {
        std::uint8_t* out = codes_.data() + static_cast<std::size_t>(lane) * code_stride_;
        const kernel::EncodeSums sums = encode({data[lane], rows_.n_cols(), kRowLevels, kBias, kScanAhead, out});
        const core::CodeFit fit = core::fit_codes(metric_, as_sums(sums), static_cast<std::int64_t>(rows_.n_cols()));
        terms.set(lane, core::code_row(metric_, fit));
        terms.norm[lane] = std::sqrt(sums.sq_norm);
        if (fit.bounded) terms.least_ratio = std::min(terms.least_ratio, fit.least_ratio);
        codes[lane] = out;
    }
    table_.pack_words({codes, n, rows_.n_cols(), nullptr, reinterpret_cast<float*>(block), nullptr, nullptr});
}

bool CodeStage::exists(Metric metric, Dtype query_dtype, Dtype row_dtype, std::int64_t n_cols) {
    if (is_bits(metric) || metric == Metric::manhattan || n_cols > core::kMaxCodeDim) return false;
    // Integer sums of the two byte types fit float32 bounds only where both sides were scaled alike.
    return core::is_integer(query_dtype) == core::is_integer(row_dtype);
}

CodeStage::CodeStage(const kernel::KernelTable& table, Metric metric, const RowReader& queries, std::int64_t first,
                     int count, int digits, const core::BoundScales& scales)
    : Stage(table, kernel::TileOp::code_dot, select_op(metric, digits), digits,
            digits == 1 ? table.code_queries : kernel::kTileQueries),
      table_(table),
      metric_(metric),
      scales_(scales) {
    const std::size_t n_cols = queries.n_cols(), stride = code_bytes(n_cols);
    allocate_queries(count, (n_cols + 3) / 4, CodePacker::block_words(n_cols));
    start_ = runtime::AlignedArray<std::uint32_t>(static_cast<std::size_t>(blocks_of(count * digits) * kBlockRows));
    std::fill(start_.begin(), start_.end(), 0u);
    if (lanes_ > kernel::kTileQueries) {
        rows_ = runtime::AlignedArray<std::uint32_t>(static_cast<std::size_t>(blocks_of(count) * kBlockRows) * n_steps_);
        std::fill(rows_.begin(), rows_.end(), 0u);
    }
    runtime::AlignedArray<std::uint8_t> codes(kBlockRows * stride);
    runtime::AlignedArray<std::byte> scratch(queries.scratch_bytes(1));
    runtime::AlignedArray<double> wide((n_cols + kBlockRows) / kBlockRows * kBlockRows);
    const void* lanes[kBlockRows];
    for (int lane = 0; lane < kBlockRows; ++lane) lanes[lane] = codes.data() + static_cast<std::size_t>(lane) * stride;
    for (int lane = 0, query = 0; query < count; ++query, lane += digits) {
        const void* row = queries.row(first + query, scratch.data());
        std::uint8_t* out = codes.data() + static_cast<std::size_t>(lane % kBlockRows) * stride;
        kernel::EncodeSums sums;
        if (digits == 2) {
            table.widen[static_cast<int>(queries.dtype())](row, n_cols, wide.data());
            sums = encode_wide(wide.data(), n_cols, table.code_levels, reinterpret_cast<std::int8_t*>(out),
                               reinterpret_cast<std::int8_t*>(out + stride));
        } else {
            sums = table.encode[static_cast<int>(queries.dtype())]({row, n_cols, table.code_levels, 0, 0, out});
        }
        terms_.push_back(core::code_query(metric, core::fit_codes(metric, as_sums(sums), static_cast<std::int64_t>(n_cols))));
        for (int digit = 0; digit < digits; ++digit) {
            const auto* signed_codes = reinterpret_cast<const std::int8_t*>(out + static_cast<std::size_t>(digit) * stride);
            int sum = 0;
            for (std::size_t i = 0; i < n_cols; ++i) sum += signed_codes[i];
            // Unsigned row codes are 128 too large: the sums start that much below.
            start_[static_cast<std::size_t>(lane + digit)] = static_cast<std::uint32_t>(-kBias * sum);
        }
        if (rows_.size() != 0) std::memcpy(rows_.data() + static_cast<std::size_t>(lane) * n_steps_, out, n_cols);
        const int used = lane % kBlockRows + digits;
        if (used == kBlockRows || query + 1 == count) {
            auto* block = reinterpret_cast<float*>(query_block(lane / kBlockRows));
            table.pack_words({lanes, used, n_cols, nullptr, block, nullptr, nullptr});
        }
    }
}

std::unique_ptr<BlockPacker> CodeStage::packer(const RowReader& rows) const {
    return std::make_unique<CodePacker>(table_, metric_, rows);
}

}  // namespace embmath::engine
