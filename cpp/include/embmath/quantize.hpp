// Scalar codes on a uniform grid, 16-bit floats, and the ranges that grids are laid over.
#pragma once

#include <cstdint>

#include "embmath/code_format.hpp"
#include "embmath/rotated_codes.hpp"
#include "embmath/runtime.hpp"
#include "embmath/types.hpp"

namespace embmath {

// The grid of one row, one column, or everything.
enum class Scope : std::uint8_t { row, column, all };

// The numbers that scalar codes stand for: place * step + minimum in float64, rounded to the type that is
// wanted (narrower ones from float32). A place is the code counted from 0; with `center`, the middle of
// the values that round to it, no further than the range.
struct CodeGrid {
    const float* minimum = nullptr;  // null: 0
    const float* step = nullptr;
    Scope scope = Scope::all;
    CodeFormat format;
    bool center = true;
};

// What the rows of a matrix stand for where they are codes.
struct Coding {
    enum class Kind : std::uint8_t {
        scalar,  // float32 numbers on a grid
        signs,   // -1 and 1 as float32, a bit each
        bits,    // packed bits, for the metrics that take them
        rotated  // float32 coordinates on orthonormal axes
    };
    Kind kind = Kind::scalar;
    std::int64_t dim = 0;    // dimensions of a row
    CodeGrid grid;           // of scalar codes
    std::uint8_t flip = 0;   // of signs and bits: applied to each byte by exclusive or
    RotatedGrid rotated{};   // `dim` may be one more than its coordinates: zeros, what no axis spans
    const float* scale = nullptr;   // of rotated codes, per row
    const float* offset = nullptr;  // likewise
};

// steps[i] = (high[i] - low[i]) / levels in float32, 1 where that is 0.
void range_steps(const float* low, const float* high, std::int64_t n, int levels, float* steps);

// Codes on given ranges: one per column, or a single one for all.
void quantize(const MatrixView& x, const float* low, const float* high, Scope scope, const CodeFormat& format,
              const Execution& execution, void* out);

// Codes of rows on ranges of their own: [min, max], or [-max|x|, max|x|] of symmetric codes (`minimum`
// null). Throws ValueError for a row whose range is not finite.
void quantize_rows(const MatrixView& x, const CodeFormat& format, const Execution& execution, void* out, float* minimum,
                   float* step);

// All rows of scalar codes as numbers.
void dequantize(const MatrixView& codes, std::int64_t n_cols, const CodeGrid& grid, Dtype to, const Execution& execution,
                void* out);

// Elements of one float type as another, rounded once to nearest, ties to even.
void convert(const MatrixView& x, Dtype to, const Execution& execution, void* out);

// low[i], high[i]: the smallest and largest element, as float32, per column or (scope all) of all. Throws
// ValueError if one is not finite.
void fit_ranges(const MatrixView& x, Scope scope, const Execution& execution, float* low, float* high);

// Likewise the quantiles (1 - quantile) / 2 and 1 - (1 - quantile) / 2, interpolated linearly.
void fit_quantiles(const MatrixView& x, double quantile, Scope scope, const Execution& execution, float* low, float* high);

}  // namespace embmath
