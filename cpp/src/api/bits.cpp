#include "embmath/bits.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>

#include "core/dtype.hpp"
#include "dispatch/registry.hpp"
#include "embmath/errors.hpp"
#include "engine/each_row.hpp"
#include "engine/scorer.hpp"

namespace embmath {

namespace {

// float32 elements are above a float64 threshold exactly if they are above this.
float largest_not_above(double threshold) {
    const auto nearest = static_cast<float>(threshold);
    return nearest > threshold ? std::nextafter(nearest, -std::numeric_limits<float>::infinity()) : nearest;
}

void check_packed(const MatrixView& codes, std::int64_t n_cols, std::int64_t per_byte) {
    if (core::size_of(codes.dtype) != 1) {
        throw TypeError(std::string("codes: expected packed codes (uint8 or int8), got ") + core::name_of(codes.dtype));
    }
    if (n_cols < 0 || n_cols > per_byte * codes.n_cols) {
        throw ValueError("dims: must be between 0 and " + std::to_string(per_byte * codes.n_cols) +
                         ", what the bytes of a row hold, got " + std::to_string(n_cols));
    }
}

void check_layout(std::int64_t n_cols, NibbleLayout layout) {
    if (layout == NibbleLayout::split && n_cols % 2 != 0) {
        throw ValueError("layout: 'split' takes an even number of dimensions, got " + std::to_string(n_cols));
    }
}

}  // namespace

void pack_bits(const MatrixView& x, double threshold, std::uint8_t flip, const Execution& execution, std::uint8_t* out) {
    const engine::RowReader rows(x, x.n_cols);
    const kernel::PackBitsFn pack = dispatch::active().pack_bits[static_cast<int>(x.dtype)];
    const std::int64_t n_bytes = (x.n_cols + 7) / 8;
    const float below = largest_not_above(threshold);
    const std::ptrdiff_t ahead = rows.is_direct() ? engine::kScanAhead : 0;
    engine::for_each_row(rows, execution, [&](const void* row, std::int64_t index) {
        pack({row, rows.n_cols(), threshold, below, flip, ahead, out + index * n_bytes});
    });
}

void unpack_bits(const MatrixView& codes, std::int64_t n_cols, std::uint8_t flip, Dtype to, const Execution& execution,
                 void* out) {
    check_packed(codes, n_cols, 8);
    const kernel::UnpackBitsFn unpack = dispatch::active().unpack_bits[static_cast<int>(to)];
    const engine::RowReader rows(codes, codes.n_cols);
    const auto row_bytes = n_cols * static_cast<std::int64_t>(core::size_of(to));
    engine::for_each_row(rows, execution, [&](const void* row, std::int64_t index) {
        unpack(static_cast<const std::uint8_t*>(row), static_cast<std::size_t>(n_cols), flip,
               static_cast<std::byte*>(out) + index * row_bytes);
    });
}

void pack_nibbles(const MatrixView& codes, NibbleLayout layout, const Execution& execution, std::uint8_t* out) {
    check_packed(codes, codes.n_cols, 1);
    check_layout(codes.n_cols, layout);
    const kernel::NibblesFn pack = dispatch::active().pack_nibbles;
    const engine::RowReader rows(codes, codes.n_cols);
    const std::int64_t n_bytes = (codes.n_cols + 1) / 2;
    std::atomic<int> largest{0};
    engine::for_each_row(rows, execution, [&](const void* row, std::int64_t index) {
        const auto* bytes = static_cast<const std::uint8_t*>(row);
        int most = 0;
        for (std::size_t i = 0; i < rows.n_cols(); ++i) most = std::max<int>(most, bytes[i]);
        if (most > 15) largest = most;
        pack(bytes, rows.n_cols(), layout, out + index * n_bytes);
    });
    if (largest > 15) throw ValueError("x: expected codes from 0 to 15, got " + std::to_string(largest));
}

void unpack_nibbles(const MatrixView& codes, std::int64_t n_cols, NibbleLayout layout, const Execution& execution,
                    std::uint8_t* out) {
    check_packed(codes, n_cols, 2);
    check_layout(n_cols, layout);
    const kernel::NibblesFn unpack = dispatch::active().unpack_nibbles;
    const engine::RowReader rows(codes, codes.n_cols);
    engine::for_each_row(rows, execution, [&](const void* row, std::int64_t index) {
        unpack(static_cast<const std::uint8_t*>(row), static_cast<std::size_t>(n_cols), layout, out + index * n_cols);
    });
}

}  // namespace embmath
