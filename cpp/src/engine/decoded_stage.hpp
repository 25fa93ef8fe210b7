// The stage of codes searched as what they decode to: it reads them as they are stored, in integers.
#pragma once

#include <cstdint>
#include <vector>

#include "core/decoded_bounds.hpp"
#include "engine/code_layout.hpp"
#include "engine/stage.hpp"

namespace embmath::engine {

class DecodedStage final : public Stage {
public:
    static bool exists(const kernel::KernelTable& table, Metric metric, const RowReader& rows, std::int64_t n_cols);

    // Batch [first, first + count) of the queries; `digits`: one or two to a query's code.
    DecodedStage(const kernel::KernelTable& table, Metric metric, const RowReader& queries, std::int64_t first, int count,
                 int digits, const RowReader& rows, const core::BoundScales& scales);

    // Of two digits, how many pay: signs take longer to multiply than to read, and queries whose numbers
    // are of one size lose little by the second.
    static int digits_for(const kernel::KernelTable& table, const RowReader& queries, std::int64_t first, int count, const RowReader& rows);

    // The packer does all of the work: a block holds the sums of its rows, lane by lane.
    std::unique_ptr<BlockPacker> packer(const RowReader& rows) const override;
    void sums(const Panel& panel, int first, int n, bool from_memory, std::uint32_t* scores, std::size_t ld) const override;
    std::size_t block_bytes(const Panel&) const override { return kBlockRows * layout_.n_bytes; }
    core::Gate gate(int query, double tau, const Panel&) const override {
        return terms_[static_cast<std::size_t>(query)].gate(tau, scales_);
    }

private:
    friend class DecodedPacker;

    // Grids of columns; else empty.
    struct Columns {
        runtime::AlignedArray<float> step, minimum;  // padded with zeros
        std::vector<double> start;                   // core/decoded_bounds.hpp: m
        double offset = 0.0, most_step = 0.0;
    };

    // Whether lengths only weigh what two digits leave out.
    bool ignores_lengths() const { return metric_ == Metric::dot && half_ == 0.0 && digits_ == 2; }

    void lay_out_columns();
    void add_query(int query, const double* x);
    double write_digits(int query, const std::vector<double>& y, double unit);

    const kernel::KernelTable& table_;
    Metric metric_;
    core::BoundScales scales_;
    CodeLayout layout_;
    Coding coding_;
    double half_ = 0.0;            // of a step that the middle of a code's values lies above its least
    double shift_ = 0.0;           // what a code's place on the grid is above the code, less the middle one
    std::size_t n_cols_;
    std::size_t n_lanes_;
    Columns columns_;
    std::size_t query_words_ = 0;  // of a lane
    runtime::AlignedArray<std::uint32_t> digits_of_queries_;  // lane by lane
    double most_residual_ = 0.0;
    std::vector<core::DecodedQuery> terms_;
};

}  // namespace embmath::engine
