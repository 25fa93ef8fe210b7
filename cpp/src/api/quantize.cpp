#include "embmath/quantize.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/code_grid.hpp"
#include "core/dtype.hpp"
#include "dispatch/registry.hpp"
#include "embmath/errors.hpp"
#include "engine/decoder.hpp"
#include "engine/each_row.hpp"
#include "engine/scorer.hpp"

namespace embmath {

namespace {

kernel::QuantizeArgs arguments_of(const CodeFormat& format) {
    const core::PlaceRule rule = core::place_rule(format);
    kernel::QuantizeArgs args{};
    args.to_nearest = rule.to_nearest;
    args.factor = rule.factor;
    args.shift = rule.shift;
    args.low = rule.low;
    args.high = rule.high;
    args.bias = rule.bias;
    return args;
}

std::int64_t bytes_per_row(std::int64_t n_cols, const CodeFormat& format) {
    return format.is_packed ? (n_cols + 1) / 2 : n_cols;
}

// `prepare(row, index, args)` fills in a row's grid; then its codes are written, packed if need be.
template <class Prepare>
void write_codes(const MatrixView& x, const CodeFormat& format, const kernel::QuantizeArgs& common,
                 const Execution& execution, void* out, const Prepare& prepare) {
    const kernel::KernelTable& table = dispatch::active();
    const kernel::QuantizeFn quantize = table.quantize[static_cast<int>(x.dtype)];
    const engine::RowReader rows(x, x.n_cols);
    const std::int64_t row_bytes = bytes_per_row(x.n_cols, format);
    engine::for_each_group(rows, execution, engine::kRowGroup, [&](const void* const* pointers, int n, std::int64_t first) {
        runtime::AlignedArray<std::uint8_t> unpacked(format.is_packed ? rows.n_cols() : 0);
        for (int i = 0; i < n; ++i) {
            auto* target = static_cast<std::uint8_t*>(out) + (first + i) * row_bytes;
            kernel::QuantizeArgs args = common;
            args.row = pointers[i];
            args.n_cols = rows.n_cols();
            args.ahead = rows.is_direct() ? engine::kScanAhead : 0;
            args.codes = format.is_packed ? unpacked.data() : target;
            float start, step;  // where a row has its own
            args.start = args.start == nullptr ? &start : args.start;
            args.step = args.step == nullptr ? &step : args.step;
            prepare(first + i, args, start, step);
            quantize(args);
            if (format.is_packed) table.pack_nibbles(unpacked.data(), rows.n_cols(), format.layout, target);
        }
    });
}

void check_quantizable(const MatrixView& x, const CodeFormat& format) {
    if (core::is_integer(x.dtype)) {
        throw TypeError(std::string("x: expected a floating-point dtype, got ") + core::name_of(x.dtype));
    }
    if (format.is_packed && format.layout == NibbleLayout::split && x.n_cols % 2 != 0) {
        throw ValueError("layout: 'split' takes an even number of dimensions, got " + std::to_string(x.n_cols));
    }
}

}  // namespace

void range_steps(const float* low, const float* high, std::int64_t n, int levels, float* steps) {
    for (std::int64_t i = 0; i < n; ++i) steps[i] = core::step_of(low[i], high[i], levels);
}

void quantize(const MatrixView& x, const float* low, const float* high, Scope scope, const CodeFormat& format,
              const Execution& execution, void* out) {
    check_quantizable(x, format);
    const auto n = scope == Scope::column ? static_cast<std::size_t>(x.n_cols) : 1;
    const auto start = engine::padded<float>(low, n);
    auto divisor = engine::padded<float>(high, n);
    for (std::size_t i = 0; i < n; ++i) divisor[i] = core::divisor_of(low[i], high[i], format);
    kernel::QuantizeArgs args = arguments_of(format);
    args.per_column = scope == Scope::column;
    args.start = start.data();
    args.step = divisor.data();
    write_codes(x, format, args, execution, out, [](std::int64_t, const kernel::QuantizeArgs&, float&, float&) {});
}

void quantize_rows(const MatrixView& x, const CodeFormat& format, const Execution& execution, void* out, float* minimum,
                   float* step) {
    check_quantizable(x, format);
    const kernel::RowRangeFn range_of = dispatch::active().row_range[static_cast<int>(x.dtype)];
    constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
    std::atomic<std::int64_t> first_bad{kNone};
    write_codes(x, format, arguments_of(format), execution, out,
                [&](std::int64_t index, const kernel::QuantizeArgs& args, float& start, float& divisor) {
        const kernel::RowRange range = range_of(args.row, args.n_cols, 0);
        const float largest = std::max(range.high, -range.low);
        const float low = format.is_symmetric ? 0.0F : range.low, high = format.is_symmetric ? largest : range.high;
        if (!range.is_finite || !std::isfinite(high - low)) {
            std::int64_t seen = first_bad;
            while (index < seen && !first_bad.compare_exchange_weak(seen, index)) {}
        }
        start = low;
        divisor = core::divisor_of(low, high, format);
        step[index] = core::step_of(low, high, format.levels);
        if (minimum != nullptr) minimum[index] = low;
    });
    if (first_bad != kNone) {
        throw ValueError("x: expected rows of finite numbers with a float32 range, got NaN, infinity or more in row " +
                         std::to_string(first_bad));
    }
}

void dequantize(const MatrixView& codes, std::int64_t n_cols, const CodeGrid& grid, Dtype to, const Execution& execution,
                void* out) {
    if (n_cols == 0) return;  // nothing to write, and no first step for the kernels to look at
    const Coding coding{Coding::Kind::scalar, n_cols, grid};
    const engine::Decoder decoder(dispatch::active(), coding, codes.dtype, n_cols, to);
    const engine::RowReader rows(codes, codes.n_cols);
    const std::int64_t row_bytes = n_cols * static_cast<std::int64_t>(core::size_of(to));
    engine::for_each_group(rows, execution, engine::kRowGroup, [&](const void* const* pointers, int n_rows, std::int64_t first) {
        runtime::AlignedArray<std::byte> scratch(decoder.scratch_bytes());
        for (int i = 0; i < n_rows; ++i) {
            decoder.decode(pointers[i], first + i, scratch.data(), static_cast<std::byte*>(out) + (first + i) * row_bytes);
        }
    });
}

void convert(const MatrixView& x, Dtype to, const Execution& execution, void* out) {
    const kernel::ConvertFn function = dispatch::active().convert[static_cast<int>(x.dtype)][static_cast<int>(to)];
    if (function == nullptr) {
        throw TypeError(std::string("x: expected a floating-point dtype, got ") + core::name_of(x.dtype));
    }
    const engine::RowReader rows(x, x.n_cols);
    const auto row_bytes = x.n_cols * static_cast<std::int64_t>(core::size_of(to));
    engine::for_each_row(rows, execution, [&](const void* row, std::int64_t index) {
        function(row, rows.n_cols(), static_cast<std::byte*>(out) + index * row_bytes);
    });
}

}  // namespace embmath
