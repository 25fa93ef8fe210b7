#include "embmath/transform.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/dtype.hpp"
#include "dispatch/registry.hpp"
#include "embmath/errors.hpp"
#include "engine/rows.hpp"
#include "engine/scorer.hpp"
#include "runtime/memory.hpp"
#include "runtime/parallel.hpp"

namespace embmath {

namespace {

constexpr int kGroup = 16;

// `function(pointers, n, first row)` for groups of n <= kGroup rows, a few hundred kilobytes per task.
template <class Function>
void for_each_group(const engine::RowReader& rows, const Execution& execution, const Function& function) {
    const auto n_cols = static_cast<std::int64_t>(std::max<std::size_t>(rows.n_cols(), 1));
    const std::int64_t batch = std::max<std::int64_t>(1, (std::int64_t{1} << 17) / n_cols);
    const double work = static_cast<double>(rows.n_rows()) * static_cast<double>(n_cols);
    runtime::for_each_task(execution, runtime::worker_count(execution, work), (rows.n_rows() + batch - 1) / batch,
                           [&](runtime::Worker&, std::int64_t task) {
        runtime::AlignedArray<std::byte> scratch(rows.scratch_bytes(kGroup));
        const std::int64_t end = std::min(rows.n_rows(), (task + 1) * batch);
        for (std::int64_t first = task * batch; first < end; first += kGroup) {
            const int n = static_cast<int>(std::min<std::int64_t>(kGroup, end - first));
            std::int64_t indices[kGroup];
            const void* pointers[kGroup];
            for (int i = 0; i < n; ++i) indices[i] = first + i;
            rows.rows(indices, n, scratch.data(), pointers);
            function(pointers, n, first);
        }
    });
}

// `function(row pointer, row index)` for every row.
template <class Function>
void for_each_row(const engine::RowReader& rows, const Execution& execution, const Function& function) {
    for_each_group(rows, execution, [&](const void* const* pointers, int n, std::int64_t first) {
        for (int i = 0; i < n; ++i) function(pointers[i], first + i);
    });
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

template <class D>
void pack_row(const typename D::storage* x, std::int64_t n_cols, double threshold, std::uint8_t* out) {
    for (std::int64_t col = 0; col < n_cols; col += 8) {
        unsigned byte = 0;
        const std::int64_t n = std::min<std::int64_t>(8, n_cols - col);
        for (std::int64_t i = 0; i < n; ++i) byte |= (D::to_f64(x[col + i]) > threshold ? 0x80u : 0u) >> i;
        out[col / 8] = static_cast<std::uint8_t>(byte);
    }
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
    for_each_group(rows, execution, [&](const void* const* pointers, int n, std::int64_t first) {
        double sums[2 * kGroup];
        const void* ahead[kGroup];
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

void pack_bits(const MatrixView& x, double threshold, const Execution& execution, std::uint8_t* out) {
    const engine::RowReader rows(x, x.n_cols);
    const std::int64_t n_bytes = (x.n_cols + 7) / 8;
    core::visit_dtype(x.dtype, [&](auto traits) {
        using D = decltype(traits);
        for_each_row(rows, execution, [&](const void* row, std::int64_t index) {
            pack_row<D>(static_cast<const typename D::storage*>(row), x.n_cols, threshold, out + index * n_bytes);
        });
    });
}

void unpack_bits(const MatrixView& codes, std::int64_t n_cols, const Execution& execution, std::uint8_t* out) {
    if (codes.dtype != Dtype::u8) {
        throw TypeError(std::string("codes: expected packed bits (uint8), got ") + core::name_of(codes.dtype));
    }
    if (n_cols < 0 || n_cols > 8 * codes.n_cols) {
        throw ValueError("dims: must be between 0 and " + std::to_string(8 * codes.n_cols) + ", the bits of a row, got " +
                         std::to_string(n_cols));
    }
    const engine::RowReader rows(codes, codes.n_cols);
    for_each_row(rows, execution, [&](const void* row, std::int64_t index) {
        const auto* bytes = static_cast<const std::uint8_t*>(row);
        for (std::int64_t i = 0; i < n_cols; ++i) out[index * n_cols + i] = bytes[i / 8] >> (7 - i % 8) & 1u;
    });
}

}  // namespace embmath
