// What a stage of codes as they are stored makes of sixteen rows: their sums with all of its queries, read
// once, and the terms of their bounds.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "engine/decoded_stage.hpp"
#include "engine/scorer.hpp"

namespace embmath::engine {

class DecodedPacker final : public BlockPacker {
public:
    DecodedPacker(const DecodedStage& stage, const RowReader& rows)
        : stage_(stage), rows_(rows), unpacked_(stage.layout_.form == kernel::CodeScan::nibbles ? kernel::kGridRows * stage.layout_.dim : 0) {
        if (stage.layout_.form == kernel::CodeScan::bits) lay_signs();
        else lay_grid();
    }

    std::size_t block_words() const override { return stage_.n_lanes_ * kBlockRows; }

    void pack(const std::int64_t* rows, int n, std::uint32_t* block, BlockTerms& terms) override {
        const CodeLayout& layout = stage_.layout_;
        const void* codes[kBlockRows];
        for (int lane = 0; lane < kBlockRows; ++lane) codes[lane] = rows_.codes(rows[lane < n ? lane : 0]);
        const bool is_measured = layout.form != kernel::CodeScan::bits && !stage_.ignores_lengths();
        std::uint32_t moments[4 * kBlockRows];
        stage_.table_.scan_codes[static_cast<int>(layout.form)](
            {codes, layout.n_bytes, layout.flip, kScanAhead, stage_.digits_of_queries_.data(), stage_.query_words_,
             static_cast<int>(stage_.n_lanes_), stage_.start_.data(), layout.mask.data(), stage_.half_ != 0.0, block,
             is_measured ? moments : nullptr});
        if (layout.form == kernel::CodeScan::bits) {
            terms = signs_;
        } else {
            lay_lengths(codes, rows, n, is_measured ? moments : nullptr);
            lay_terms(terms);
        }
        // No bound asks for a typical length here, and sums tell rows apart where all lengths are one.
        for (int lane = 0; lane < kBlockRows; ++lane) terms.norm[lane] = static_cast<std::int32_t>(block[lane]);
    }

private:
    static_assert(core::kDecodedRows == kBlockRows);

    void lay_lengths(const void* const* codes, const std::int64_t* rows, int n, const std::uint32_t* moments) {
        const CodeGrid& grid = stage_.coding_.grid;
        const bool has_columns = grid.scope == Scope::column, has_minimum = grid.minimum != nullptr || has_columns;
        if (grid.scope == Scope::row) {
            for (int lane = 0; lane < kBlockRows; ++lane) {
                const std::int64_t row = rows[lane < n ? lane : 0];
                step_[lane] = grid.step[row];
                if (has_minimum) minimum_[lane] = grid.minimum[row];
            }
        }
        stage_.table_.decoded_lengths({step_, has_minimum ? minimum_ : nullptr, moments, has_columns ? 0.0 : stage_.shift_,
                                       static_cast<double>(stage_.layout_.middle), static_cast<double>(stage_.n_cols_),
                                       stage_.half_ * stage_.scales_.residual, core::kDecoding * stage_.scales_.rounding, &lengths_});
        if (!has_columns) return;
        if (moments != nullptr) lay_columns(codes, moments);
        lay_offsets();
    }

    // Steps and starts of all rows; those of columns went into the queries.
    void lay_grid() {
        const CodeGrid& grid = stage_.coding_.grid;
        if (grid.scope == Scope::row) return;
        const bool has_columns = grid.scope == Scope::column;
        std::fill_n(step_, kBlockRows, has_columns ? 1.0F : grid.step[0]);
        std::fill_n(minimum_, kBlockRows, has_columns ? 1.0F : grid.minimum == nullptr ? 0.0F : grid.minimum[0]);
    }

    // Lengths on grids of columns; a product needs |x| only as a unit of rounding.
    void lay_columns(const void* const* codes, const std::uint32_t* moments) {
        const double most = stage_.half_ * stage_.columns_.most_step * core::kUp * stage_.scales_.residual;
        for (int lane = 0; lane < kBlockRows && most != 0.0; ++lane) {
            lengths_.residual[lane] = most * std::sqrt(static_cast<double>(moments[3 * kBlockRows + lane]));
        }
        if (stage_.metric_ == Metric::dot) return;
        // Chains of n / 16 additions of what is not negative, each a unit off; the root halves that: four times it.
        const double error = (static_cast<double>(stage_.n_cols_) / 8.0 + 40.0) * core::kUnit;
        double sq_norms[kBlockRows];
        for (int lane = 0; lane < kBlockRows; lane += kernel::kGridRows) add_sq_norms(codes + lane, sq_norms + lane);
        for (int lane = 0; lane < kBlockRows; ++lane) {
            const double norm = std::sqrt(sq_norms[lane]);
            lengths_.low[lane] = norm * (1.0 - error);
            lengths_.high[lane] = norm * (1.0 + error);
        }
    }

    void lay_offsets() {
        for (int lane = 0; lane < kBlockRows; ++lane) {
            lengths_.offset[lane] = stage_.columns_.offset;
            if (stage_.metric_ != Metric::dot) continue;
            lengths_.high[lane] = stage_.columns_.offset + lengths_.reach[lane] * stage_.columns_.most_step + lengths_.residual[lane];
        }
    }

    // |x|^2 of some rows on a grid of columns.
    void add_sq_norms(const void* const* codes, double* sq_norms) {
        const DecodedStage::Columns& columns = stage_.columns_;
        const CodeFormat& format = stage_.coding_.grid.format;
        const auto shift = static_cast<float>(stage_.half_ + (format.is_signed ? 128.0 : 0.0));
        kernel::GridNormArgs args{{}, stage_.n_cols_, shift, static_cast<float>(format.levels), stage_.half_ != 0.0,
                                  columns.step.data(), columns.minimum.data(), sq_norms};
        const std::size_t dim = stage_.layout_.dim;
        for (int row = 0; row < kernel::kGridRows; ++row) {
            args.codes[row] = codes[row];
            if (!format.is_packed) continue;
            std::uint8_t* unpacked = unpacked_.data() + static_cast<std::size_t>(row) * dim;
            stage_.table_.unpack_nibbles(static_cast<const std::uint8_t*>(codes[row]), dim, format.layout, unpacked);
            args.codes[row] = unpacked;
        }
        stage_.table_.decoded_sq_norms[stage_.layout_.flip == 0 ? 1 : 0](args);
    }

    // All rows of signs are of one length.
    void lay_signs() {
        const double length = std::sqrt(static_cast<double>(stage_.n_cols_));
        std::fill_n(lengths_.mul, kBlockRows, 1.0);
        std::fill_n(lengths_.reach, kBlockRows, length * core::kUp);
        std::fill_n(lengths_.low, kBlockRows, length * core::kDown);
        std::fill_n(lengths_.high, kBlockRows, length * core::kUp);
        lay_terms(signs_);
    }

    void lay_terms(BlockTerms& terms) const {
        const double slack = core::kDecodedSlack * stage_.scales_.rounding;
        std::uint32_t unusual = stage_.table_.decoded_terms(
            {stage_.metric_, &lengths_, slack, stage_.most_residual_, terms.mul, {terms.add[0], terms.add[1], terms.add[2]}});
        for (; unusual != 0; unusual &= unusual - 1) {
            const int lane = std::countr_zero(unusual);
            if (lengths_.is_zero(lane)) terms.set(lane, {});
            else if (!lengths_.is_usual(lane)) terms.set(lane, core::unbounded_row());
        }
        terms.least_ratio = 0.0;
    }

    const DecodedStage& stage_;
    const RowReader& rows_;
    float step_[kBlockRows] = {}, minimum_[kBlockRows] = {};
    core::DecodedRows lengths_{};
    BlockTerms signs_;
    runtime::AlignedArray<std::uint8_t> unpacked_;
};

}  // namespace embmath::engine
