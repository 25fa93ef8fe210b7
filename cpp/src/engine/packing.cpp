#include "engine/packing.hpp"

#include <algorithm>
#include <cmath>

#include "core/dtype.hpp"

namespace embmath::engine {

namespace {

// Exponent of the largest finite element; 0 for a row of zeros.
int largest_exponent(Dtype dtype, const void* row, std::size_t n_cols) {
    return core::visit_dtype(dtype, [=](auto traits) {
        using D = decltype(traits);
        const auto* x = static_cast<const typename D::storage*>(row);
        double largest = 0.0;
        for (std::size_t i = 0; i < n_cols; ++i) {
            const double magnitude = std::abs(D::to_f64(x[i]));
            if (std::isfinite(magnitude)) largest = std::max(largest, magnitude);
        }
        return largest > 0.0 ? std::max(std::ilogb(largest), -1022) : 0;
    });
}

// Sums of squares and products of such rows neither overflow nor underflow (core/bounds.hpp).
bool is_comfortable(float max_abs) { return max_abs >= 0x1p-40F && max_abs <= 0x1p40F; }

}  // namespace

Packer::Packer(const kernel::KernelTable& table, const RowReader& reader, PackMode mode)
    : table_(table),
      reader_(reader),
      mode_(mode),
      n_steps_(mode == PackMode::bits ? (reader.n_cols() + 3) / 4 : reader.n_cols()),
      scratch_(reader.scratch_bytes(kBlockRows)) {}

void Packer::pack(const std::int64_t* rows, int n, float* block, BlockStats& stats) {
    reader_.rows(rows, n, scratch_.data(), rows_);
    kernel::PackArgs args{rows_, n, reader_.n_cols(), nullptr, block, stats.sq_norm, stats.max_abs};
    if (mode_ == PackMode::bits) {
        table_.pack_words(args);
        return;
    }
    const kernel::PackFn pack = table_.pack[static_cast<int>(reader_.dtype())];
    pack(args);
    std::fill_n(stats.exponent, kBlockRows, 0);
    double scale[kBlockRows];
    if (mode_ == PackMode::scaled && choose_scales(n, stats, scale, stats.exponent)) {
        args.row_scale = scale;
        pack(args);
    }
}

bool Packer::choose_scales(int n, const BlockStats& stats, double* scale, int* exponent) const {
    std::fill_n(scale, kBlockRows, 1.0);
    bool any = false;
    for (int lane = 0; lane < n; ++lane) {
        if (is_comfortable(stats.max_abs[lane])) continue;
        exponent[lane] = largest_exponent(reader_.dtype(), rows_[lane], reader_.n_cols());
        scale[lane] = std::ldexp(1.0, -exponent[lane]);
        any |= exponent[lane] != 0;
    }
    return any;
}

}  // namespace embmath::engine
