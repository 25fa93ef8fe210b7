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

}  // namespace

void normalize(const MatrixView& x, std::int64_t n_cols, double eps, const Execution& execution, void* out) {
    if (core::is_integer(x.dtype)) {
        throw TypeError(std::string("x: expected a floating-point dtype, got ") + core::name_of(x.dtype));
    }
    if (!(eps >= 0.0)) throw ValueError("eps: must be at least 0, got " + std::to_string(eps));
    const kernel::KernelTable& table = dispatch::active();
    const auto dtype = static_cast<int>(x.dtype);
    const auto op = x.dtype == Dtype::f64 ? kernel::CanonicalOp::norm_separate : kernel::CanonicalOp::norm;
    const kernel::CanonicalFn norm = table.canonical[static_cast<int>(op)][dtype];
    const kernel::ScaleFn scale = table.scale[dtype];
    const engine::RowReader rows(x, n_cols);
    const std::size_t row_bytes = rows.n_cols() * core::size_of(x.dtype);
    engine::for_each_group(rows, execution, [&](const void* const* pointers, int n, std::int64_t first) {
        double sums[2 * engine::kRowGroup];
        const void* ahead[engine::kRowGroup];
        for (int i = 0; i < n; ++i) ahead[i] = static_cast<const std::byte*>(pointers[i]) + engine::kScanAhead;
        norm(pointers[0], pointers, ahead, n, rows.n_cols(), sums);
        std::byte* target = static_cast<std::byte*>(out) + static_cast<std::size_t>(first) * row_bytes;
        for (int i = 0; i < n; ++i) {
            std::byte* y = target + static_cast<std::size_t>(i) * row_bytes;
            if (x.dtype == Dtype::f64 && !is_comfortable(sums[2 * i + 1])) {
                normalize_extreme(static_cast<const double*>(pointers[i]), rows.n_cols(), eps, reinterpret_cast<double*>(y));
                continue;
            }
            const double length = std::max(std::sqrt(sums[2 * i + 1]), eps);
            scale(pointers[i], rows.n_cols(), length == 0.0 ? 0.0 : 1.0 / length, y);
        }
    });
}

}  // namespace embmath
