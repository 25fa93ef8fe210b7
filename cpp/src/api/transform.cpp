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

constexpr int kMaxGroup = 16;

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
    return static_cast<int>(std::clamp<std::size_t>(kGroupBytes / std::max<std::size_t>(row_bytes, 1), 4, kMaxGroup));
}

// `function(pointers, n, first row)` for groups of n <= `group_size` rows, a few hundred kilobytes per task.
template <class Function>
void for_each_group(const engine::RowReader& rows, const Execution& execution, int group_size, const Function& function) {
    const auto n_cols = static_cast<std::int64_t>(std::max<std::size_t>(rows.n_cols(), 1));
    const std::int64_t batch = std::max<std::int64_t>(1, (std::int64_t{1} << 17) / n_cols);
    const double work = static_cast<double>(rows.n_rows()) * static_cast<double>(n_cols);
    runtime::for_each_task(execution, runtime::worker_count(execution, work), (rows.n_rows() + batch - 1) / batch,
                           [&](runtime::Worker&, std::int64_t task) {
        runtime::AlignedArray<std::byte> scratch(rows.scratch_bytes(static_cast<std::size_t>(group_size)));
        const std::int64_t end = std::min(rows.n_rows(), (task + 1) * batch);
        for (std::int64_t first = task * batch; first < end; first += group_size) {
            const int n = static_cast<int>(std::min<std::int64_t>(group_size, end - first));
            std::int64_t indices[kMaxGroup];
            const void* pointers[kMaxGroup];
            for (int i = 0; i < n; ++i) indices[i] = first + i;
            rows.rows(indices, n, scratch.data(), pointers);
            function(pointers, n, first);
        }
    });
}

// `function(row pointer, row index)` for every row.
template <class Function>
void for_each_row(const engine::RowReader& rows, const Execution& execution, const Function& function) {
    for_each_group(rows, execution, kMaxGroup, [&](const void* const* pointers, int n, std::int64_t first) {
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
        double sums[2 * kMaxGroup], factors[kMaxGroup];
        const void* ahead[kMaxGroup];
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
    const engine::RowReader rows(x, n_cols);
    const std::size_t row_bytes = rows.n_cols() * core::size_of(x.dtype);
    const Normalizer normalize_group(table, x.dtype, rows.n_cols(), eps, is_streamed(rows.n_rows(), row_bytes));
    for_each_group(rows, execution, group_rows(row_bytes), [&](const void* const* pointers, int n, std::int64_t first) {
        normalize_group(pointers, n, static_cast<std::byte*>(out) + static_cast<std::size_t>(first) * row_bytes);
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
