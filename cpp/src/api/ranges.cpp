#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "dispatch/registry.hpp"
#include "embmath/errors.hpp"
#include "embmath/quantize.hpp"
#include "engine/each_row.hpp"
#include "engine/scorer.hpp"

namespace embmath {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kColumns = 16;  // read together: a cache line of float32

void check_fittable(const MatrixView& x) {
    if (core::is_integer(x.dtype)) {
        throw TypeError(std::string("x: expected a floating-point dtype, got ") + core::name_of(x.dtype));
    }
}

void check_finite(bool is_finite) {
    if (is_finite) return;
    throw ValueError("x: expected finite numbers in float32's range to fit ranges to, got NaN, infinity or more");
}

// Ranges of the rows that one worker has seen.
struct Ranges {
    std::vector<float> low, high;
    bool is_finite = true;

    explicit Ranges(std::size_t n) : low(n, kInfinity), high(n, -kInfinity) {}
    void merge(const Ranges& other) {
        is_finite = is_finite && other.is_finite;
        for (std::size_t i = 0; i < low.size(); ++i) {
            low[i] = std::min(low[i], other.low[i]);
            high[i] = std::max(high[i], other.high[i]);
        }
    }
};

// NumPy's linear interpolation between the two order statistics around (n - 1) * q.
float quantile_of(float* values, std::int64_t n, double q) {
    const double place = static_cast<double>(n - 1) * q;
    const auto index = static_cast<std::int64_t>(place);
    std::nth_element(values, values + index, values + n);
    const double low = values[index];
    if (index + 1 >= n) return values[index];
    const double high = *std::min_element(values + index + 1, values + n);
    const double part = place - static_cast<double>(index), span = high - low;
    return static_cast<float>(part >= 0.5 ? high - span * (1.0 - part) : low + span * part);
}

void interval_of(float* values, std::int64_t n, double quantile, float& low, float& high) {
    const double cut = (1.0 - quantile) / 2.0;
    low = quantile_of(values, n, cut);
    high = quantile_of(values, n, 1.0 - cut);
}

void fit_column_quantiles(const MatrixView& x, double quantile, const Execution& execution, float* low, float* high) {
    const kernel::ConvertFn narrow = dispatch::active().convert[static_cast<int>(x.dtype)][static_cast<int>(Dtype::f32)];
    const double work = static_cast<double>(x.n_rows) * static_cast<double>(x.n_cols);
    std::atomic<bool> is_finite{true};
    runtime::for_each_task(execution, runtime::worker_count(execution, work), (x.n_cols + kColumns - 1) / kColumns,
                           [&](runtime::Worker& worker, std::int64_t task) {
        const std::int64_t first = task * kColumns, n = std::min(kColumns, x.n_cols - first);
        MatrixView part = x;
        part.data = static_cast<const std::byte*>(x.data) + first * x.col_stride;
        part.n_cols = n;
        const engine::RowReader rows(part, n);
        runtime::AlignedArray<std::byte> scratch(rows.scratch_bytes(1));
        runtime::AlignedArray<float> columns(static_cast<std::size_t>(n * x.n_rows));
        for (std::int64_t i = 0; i < x.n_rows; ++i) {
            float values[kColumns];
            narrow(rows.row(i, scratch.data()), rows.n_cols(), values);
            for (std::int64_t j = 0; j < n; ++j) {
                columns[static_cast<std::size_t>(j * x.n_rows + i)] = values[j];
                if (!std::isfinite(values[j])) is_finite = false;
            }
        }
        if (!is_finite) return;
        for (std::int64_t j = 0; j < n; ++j) {
            worker.checkpoint();
            interval_of(columns.data() + j * x.n_rows, x.n_rows, quantile, low[first + j], high[first + j]);
        }
    });
    check_finite(is_finite);
}

}  // namespace

void fit_ranges(const MatrixView& x, Scope scope, const Execution& execution, float* low, float* high) {
    check_fittable(x);
    const kernel::KernelTable& table = dispatch::active();
    const auto dtype = static_cast<int>(x.dtype);
    const engine::RowReader rows(x, x.n_cols);
    const std::ptrdiff_t ahead = rows.is_direct() ? engine::kScanAhead : 0;
    const auto n_cols = static_cast<std::size_t>(x.n_cols);
    const std::size_t n = scope == Scope::column ? n_cols : 1, padded = (n + 15) / 16 * 16;
    const double work = static_cast<double>(x.n_rows) * static_cast<double>(x.n_cols);
    const std::int64_t batch = std::max<std::int64_t>(1, (std::int64_t{1} << 17) / std::max<std::int64_t>(x.n_cols, 1));
    std::vector<Ranges> seen(static_cast<std::size_t>(runtime::worker_count(execution, work)), Ranges(padded));
    runtime::for_each_task(execution, static_cast<int>(seen.size()), (x.n_rows + batch - 1) / batch,
                           [&](runtime::Worker& worker, std::int64_t task) {
        Ranges& own = seen[static_cast<std::size_t>(worker.index())];
        runtime::AlignedArray<std::byte> scratch(rows.scratch_bytes(1));
        const std::int64_t end = std::min(x.n_rows, (task + 1) * batch);
        for (std::int64_t i = task * batch; i < end; ++i) {
            const void* row = rows.row(i, scratch.data());
            if (scope == Scope::column) {
                own.is_finite &= table.column_ranges[dtype](row, n_cols, ahead, own.low.data(), own.high.data());
                continue;
            }
            const kernel::RowRange range = table.row_range[dtype](row, n_cols, ahead);
            own.low[0] = std::min(own.low[0], range.low);
            own.high[0] = std::max(own.high[0], range.high);
            own.is_finite &= range.is_finite;
        }
    });
    for (std::size_t i = 1; i < seen.size(); ++i) seen[0].merge(seen[i]);
    check_finite(seen[0].is_finite);
    // The sum makes every zero positive, whichever of the two came first.
    for (std::size_t i = 0; i < n; ++i) low[i] = seen[0].low[i] + 0.0F, high[i] = seen[0].high[i] + 0.0F;
}

void fit_quantiles(const MatrixView& x, double quantile, Scope scope, const Execution& execution, float* low, float* high) {
    check_fittable(x);
    if (scope == Scope::column) return fit_column_quantiles(x, quantile, execution, low, high);
    runtime::AlignedArray<float> values(static_cast<std::size_t>(x.n_rows * x.n_cols));
    convert(x, Dtype::f32, execution, values.data());
    check_finite(std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }));
    interval_of(values.data(), static_cast<std::int64_t>(values.size()), quantile, *low, *high);
}

}  // namespace embmath
