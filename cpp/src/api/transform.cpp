#include "embmath/transform.hpp"

#include <algorithm>
#include <cmath>

#include "core/dtype.hpp"
#include "dispatch/registry.hpp"
#include "embmath/errors.hpp"
#include "engine/each_row.hpp"
#include "engine/rows.hpp"
#include "engine/scorer.hpp"

namespace embmath {

namespace {

// Results that no cache would hold until somebody reads them go past it. In groups of short rows the
// parts of lines at both ends cost more than that saves (measured: 256 bytes a row lose, 512 win).
bool is_streamed(std::int64_t n_rows, std::size_t row_bytes) {
    constexpr std::size_t kLeastBytes = 16 << 20, kLeastRowBytes = 512;
    return row_bytes >= kLeastRowBytes && static_cast<std::size_t>(n_rows) >= kLeastBytes / row_bytes;
}

// A group and its result stay in L1, where whoever reads the rows twice finds them again; four rows
// at least, for norms of several are summed side by side.
int group_rows(std::size_t row_bytes) {
    constexpr std::size_t kGroupBytes = 12 << 10;
    return static_cast<int>(std::clamp<std::size_t>(kGroupBytes / std::max<std::size_t>(row_bytes, 1), 4, engine::kRowGroup));
}

// Squares of float64 neither overflowed nor vanished.
bool is_comfortable(double sq_norm) { return sq_norm > 1e-280 && sq_norm < 1e280; }

// A float64 row whose squares leave float64's range: scaled by a power of two first. Zeros and rows
// that hold NaN or infinity take this way too.
void normalize_extreme(const double* x, std::size_t n_cols, double eps, double* y) {
    double largest = 0.0;
    for (std::size_t i = 0; i < n_cols; ++i) largest = std::max(largest, std::abs(x[i]));
    const bool is_scalable = largest > 0.0 && std::isfinite(largest);
    const int exponent = is_scalable ? std::ilogb(largest) : 0;
    double sq_norm = 0.0;
    for (std::size_t i = 0; i < n_cols; ++i) {
        y[i] = std::ldexp(x[i], -exponent);
        sq_norm += y[i] * y[i];
    }
    const double length = std::max(std::sqrt(sq_norm), std::ldexp(eps, -exponent));
    for (std::size_t i = 0; i < n_cols; ++i) y[i] = length == 0.0 ? 0.0 : y[i] / length;
}

// Scales groups of rows to unit length.
class Normalizer {
public:
    // `is_streamed`: results go past the caches.
    Normalizer(const kernel::KernelTable& table, Dtype dtype, std::size_t n_cols, double eps, bool is_streamed)
        : table_(table),
          dtype_(dtype),
          n_cols_(n_cols),
          row_bytes_(n_cols * core::size_of(dtype)),
          eps_(eps),
          is_streamed_(is_streamed) {}

    // `out`: of the group's first row.
    void operator()(const void* const* rows, int n, std::byte* out) const {
        const auto op = dtype_ == Dtype::f64 ? kernel::CanonicalOp::norm_separate : kernel::CanonicalOp::norm;
        double sums[2 * engine::kRowGroup], factors[engine::kRowGroup];
        const void* ahead[engine::kRowGroup];
        for (int i = 0; i < n; ++i) ahead[i] = static_cast<const std::byte*>(rows[i]) + kAhead;
        // Reading ahead while nothing is written would leave the memory idle while something is.
        table_.canonical[static_cast<int>(op)][index()](rows[0], rows, is_streamed_ ? rows : ahead, n, n_cols_, sums);
        for (int i = 0; i < n; ++i) factors[i] = factor(sums[2 * i + 1]);
        if (is_streamed_) {
            table_.scale_streamed[index()]({rows, ahead, factors, n, n_cols_, out});
        } else {
            for (int i = 0; i < n; ++i) table_.scale[index()](rows[i], n_cols_, factors[i], row_of(out, i));
        }
        for (int i = 0; dtype_ == Dtype::f64 && i < n; ++i) {
            if (is_comfortable(sums[2 * i + 1])) continue;
            normalize_extreme(static_cast<const double*>(rows[i]), n_cols_, eps_, reinterpret_cast<double*>(row_of(out, i)));
        }
    }

private:
    static constexpr std::ptrdiff_t kAhead = 2 * engine::kScanAhead;  // beyond the next group

    int index() const { return static_cast<int>(dtype_); }
    std::byte* row_of(std::byte* out, int i) const { return out + static_cast<std::size_t>(i) * row_bytes_; }
    double factor(double sq_norm) const {
        const double length = std::max(std::sqrt(sq_norm), eps_);
        return length == 0.0 ? 0.0 : 1.0 / length;
    }

    const kernel::KernelTable& table_;
    Dtype dtype_;
    std::size_t n_cols_, row_bytes_;
    double eps_;
    bool is_streamed_;
};

}  // namespace

void normalize(const MatrixView& x, std::int64_t n_cols, double eps, const Execution& execution, void* out) {
    if (core::is_integer(x.dtype)) {
        throw TypeError(std::string("x: expected a floating-point dtype, got ") + core::name_of(x.dtype));
    }
    if (!(eps >= 0.0)) throw ValueError("eps: must be at least 0, got " + std::to_string(eps));
    const kernel::KernelTable& table = dispatch::active();
    const engine::RowReader rows(x, n_cols);
    const std::size_t row_bytes = rows.n_cols() * core::size_of(x.dtype);
    const Normalizer normalize_group(table, x.dtype, rows.n_cols(), eps, is_streamed(rows.n_rows(), row_bytes));
    engine::for_each_group(rows, execution, group_rows(row_bytes), [&](const void* const* pointers, int n, std::int64_t first) {
        normalize_group(pointers, n, static_cast<std::byte*>(out) + static_cast<std::size_t>(first) * row_bytes);
    });
}

}  // namespace embmath
