#include "embmath/rotated_codes.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>

#include "api/open_rows.hpp"
#include "dispatch/registry.hpp"
#include "embmath/errors.hpp"
#include "engine/axes.hpp"
#include "runtime/parallel.hpp"

namespace embmath {

namespace {

using engine::Axes;
using engine::AxesRotator;

// `function(rotator, first row, n)` for groups of rows that were rotated.
template <class Function>
void for_each_rotated(const engine::RowReader& rows, const Axes& axes, const Execution& execution, const Function& function) {
    constexpr std::int64_t kTaskRows = 4 * AxesRotator::kRows;
    const std::int64_t n = rows.n_rows(), n_tasks = (n + kTaskRows - 1) / kTaskRows;
    const double work = static_cast<double>(n) * static_cast<double>(axes.n_cols()) * static_cast<double>(axes.n_axes());
    const int workers = static_cast<int>(std::min<std::int64_t>(runtime::worker_count(execution, work), n_tasks));
    runtime::Tasks tasks(n_tasks);
    runtime::run(execution, workers, n, [&](runtime::Worker& worker) {
        AxesRotator rotator(dispatch::active(), axes, rows);
        for (std::int64_t task; tasks.take(task);) {
            const std::int64_t end = std::min(n, (task + 1) * kTaskRows);
            for (std::int64_t first = task * kTaskRows; first < end; first += AxesRotator::kRows) {
                const int count = static_cast<int>(std::min<std::int64_t>(AxesRotator::kRows, end - first));
                rotator.run(first, count);
                function(rotator, first, count);
                worker.advance(count);
            }
        }
    });
}

void check_columns(const MatrixView& x, const AxesView& axes) {
    if (api::columns(x) < axes.n_cols) {
        throw ValueError("x: expected " + std::to_string(axes.n_cols) + " columns, got " + std::to_string(api::columns(x)));
    }
}

// What the axes do not span of a row: |x|^2 - |y|^2, of which rounding may leave less than nothing.
double rest_of(double sq_norm, const float* y, std::size_t n) {
    double spanned = 0.0;
    for (std::size_t j = 0; j < n; ++j) spanned += static_cast<double>(y[j]) * static_cast<double>(y[j]);
    const double rest = sq_norm - spanned;
    return rest > 0.0 ? std::sqrt(rest) : rest * 0.0;  // NaN stays
}

// To pack the axes takes longer than to rotate a few rows. So axes take the place of rows, which can be
// read as they lie, and rows that of axes: the same products, added in the same order.
constexpr std::int64_t kFewRows = 32;

void rotate_few(const engine::RowReader& rows, const AxesView& view, bool with_rest, const Execution& execution, float* out) {
    const auto n_cols = static_cast<std::size_t>(view.n_cols), n_axes = static_cast<std::size_t>(view.n_axes);
    const auto n_rows = static_cast<std::size_t>(rows.n_rows());
    const std::size_t width = n_axes + (with_rest ? 1 : 0);
    runtime::AlignedArray<float> vectors(n_rows * n_cols);
    runtime::AlignedArray<std::byte> scratch(rows.scratch_bytes(1));
    const kernel::ConvertFn convert = dispatch::active().convert[static_cast<int>(rows.dtype())][static_cast<int>(Dtype::f32)];
    for (std::size_t i = 0; i < n_rows; ++i) convert(rows.row(static_cast<std::int64_t>(i), scratch.data()), n_cols, vectors.data() + i * n_cols);
    const auto row_stride = static_cast<std::int64_t>(n_cols * sizeof(float));
    const MatrixView vectors_as_rows{view.vectors, view.n_axes, view.n_cols, row_stride, sizeof(float), Dtype::f32};
    const Axes rows_as_axes({vectors.data(), rows.n_rows(), view.n_cols, nullptr});
    for_each_rotated(engine::RowReader(vectors_as_rows, view.n_cols), rows_as_axes, execution,
                     [&](const AxesRotator& rotator, std::int64_t first, int n) {
        for (std::size_t i = 0; i < n_rows; ++i) {
            std::copy_n(rotator.y() + i * rotator.stride(), n, out + i * width + static_cast<std::size_t>(first));
        }
    });
    for (std::size_t i = 0; with_rest && i < n_rows; ++i) {
        double sq_norm = 0.0;
        const float* row = vectors.data() + i * n_cols;
        for (std::size_t col = 0; col < n_cols; ++col) sq_norm += static_cast<double>(row[col]) * static_cast<double>(row[col]);
        out[i * width + n_axes] = static_cast<float>(rest_of(sq_norm, out + i * width, n_axes));
    }
}

// Lane by lane, what the encoder adds up.
struct BlockSums {
    alignas(64) double sq_grid[kernel::kBlockRows], along_grid[kernel::kBlockRows], along_row[kernel::kBlockRows],
        product[kernel::kBlockRows];
};

struct RowNumbers {
    float scale = 0.0F, offset = 0.0F;
};

// With x' = x - m, unit direction u = m / |m| and grid points g, all in coordinates: x^ = s g + b u has
// the length of x and <x^,u> = <x,u> for
//   s = |x_| / |g_|,  b = <x',u> - s <g,u> + |m|,
// where x_ and g_ are x and g less their components along u. A grid that points elsewhere, or (up to
// rounding) nowhere but along u, says nothing: s = 0.
class RowScaler {
public:
    RowScaler(const AxesView& axes, const RotatedGrid& grid) {
        for (std::int64_t j = 0; j < grid.n_coords; ++j) sq_direction_ += square(grid.direction[j]);
        if (axes.mean == nullptr || sq_direction_ == 0.0) return;
        double sq_norm = 0.0;
        for (std::int64_t i = 0; i < axes.n_cols; ++i) sq_norm += axes.mean[i] * axes.mean[i];
        mean_norm_ = std::sqrt(sq_norm);
    }

    RowNumbers operator()(double sq_row, const BlockSums& sums, int lane) const {
        constexpr double kRounding = 0x1p-40;
        const double gu = sums.along_grid[lane], xu = sums.along_row[lane];
        const double inverse = sq_direction_ > 0.0 ? 1.0 / sq_direction_ : 0.0;
        const double sq_grid = sums.sq_grid[lane] - gu * gu * inverse, sq_rest = sq_row - xu * xu * inverse;
        const bool agrees = sums.product[lane] - gu * xu * inverse > 0.0;
        const bool has_scale = agrees && sq_rest > 0.0 && sq_grid > kRounding * sums.sq_grid[lane];
        const float scale = has_scale ? static_cast<float>(std::sqrt(sq_rest / sq_grid)) : 0.0F;
        const double offset = sq_direction_ > 0.0 ? (xu - static_cast<double>(scale) * gu) * inverse + mean_norm_ : 0.0;
        return {scale, static_cast<float>(offset)};
    }

private:
    static double square(float value) { return static_cast<double>(value) * static_cast<double>(value); }

    double sq_direction_ = 0.0, mean_norm_ = 0.0;
};

}  // namespace

std::int64_t bytes_per_row(const RotatedGrid& grid) {
    std::int64_t n_bytes = 0;
    for (std::int64_t first = 0, block = 0; first < grid.n_coded; first += kGridBlock) n_bytes += 2 * grid.widths[block++];
    return n_bytes;
}

void rotate(const MatrixView& x, const AxesView& view, bool with_rest, const Execution& execution, float* out) {
    check_columns(x, view);
    const engine::RowReader rows = api::open_rows(x, view.n_cols);
    if (rows.n_rows() <= kFewRows && view.mean == nullptr) return rotate_few(rows, view, with_rest, execution, out);
    const Axes axes(view);
    const std::size_t n_axes = axes.n_axes(), width = n_axes + (with_rest ? 1 : 0);
    for_each_rotated(rows, axes, execution, [&](const AxesRotator& rotator, std::int64_t first, int n) {
        float* target = out + static_cast<std::size_t>(first) * width;
        for (int row = 0; row < n; ++row, target += width) {
            const float* y = rotator.y() + row;
            for (std::size_t j = 0; j < n_axes; ++j) target[j] = y[j * rotator.stride()];
            if (with_rest) target[n_axes] = static_cast<float>(rest_of(rotator.sq_norm(row), target, n_axes));
        }
    });
}

void quantize_rotated(const MatrixView& x, const AxesView& view, const RotatedGrid& grid, const Execution& execution,
                      std::uint8_t* codes, float* scale, float* offset) {
    check_columns(x, view);
    const engine::RowReader rows = api::open_rows(x, view.n_cols);
    const Axes axes(view);
    const RowScaler scaler(view, grid);
    const auto row_bytes = static_cast<std::size_t>(bytes_per_row(grid));
    constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
    std::atomic<std::int64_t> first_bad{kNone};
    for_each_rotated(rows, axes, execution, [&](const AxesRotator& rotator, std::int64_t first, int n) {
        BlockSums sums;
        for (int block = 0; block < n; block += kernel::kBlockRows) {
            const int count = std::min(kernel::kBlockRows, n - block);
            dispatch::active().encode_rotated(
                {rotator.y() + block, rotator.stride(), count, static_cast<std::size_t>(grid.n_coded),
                 static_cast<std::size_t>(grid.n_coords), grid.widths, grid.steps, grid.direction,
                 codes + static_cast<std::size_t>(first + block) * row_bytes, row_bytes, sums.sq_grid, sums.along_grid,
                 sums.along_row, sums.product});
            for (int lane = 0; lane < count; ++lane) {
                const std::int64_t row = first + block + lane;
                const bool is_zero = rotator.is_zero(block + lane);  // and must not point anywhere by rounding
                const RowNumbers found = is_zero ? RowNumbers{} : scaler(rotator.sq_norm(block + lane), sums, lane);
                scale[row] = found.scale;
                offset[row] = found.offset;
                const bool is_finite = std::isfinite(rotator.sq_norm(block + lane)) && std::isfinite(found.scale) && std::isfinite(found.offset);
                std::int64_t seen = first_bad;
                while (!is_finite && row < seen && !first_bad.compare_exchange_weak(seen, row)) {}
            }
        }
    });
    if (first_bad != kNone) {
        throw ValueError("x: expected rows of finite numbers with a float32 range, got NaN, infinity or more in row " +
                         std::to_string(first_bad));
    }
}

}  // namespace embmath
