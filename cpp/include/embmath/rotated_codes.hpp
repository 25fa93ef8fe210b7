// Codes of rotated rows: orthonormal axes, blocks of 16 coordinates with a grid each, two numbers per row.
#pragma once

#include <cstdint>

#include "embmath/runtime.hpp"
#include "embmath/types.hpp"

namespace embmath {

// Orthonormal axes, one per row: x becomes V (x - mean).
struct AxesView {
    const float* vectors = nullptr;  // [n_axes][n_cols]
    std::int64_t n_axes = 0;
    std::int64_t n_cols = 0;
    const double* mean = nullptr;    // null: zeros
};

inline constexpr int kGridBlock = 16;  // coordinates that share bits and step
inline constexpr int kMostWidth = 8;   // bits of a code

// Coordinate j of a row stands for scale * grid point + offset * direction[j]. The grid point of place
// 0 <= p < 2^width is (p + 1/2 - 2^(width - 1)) * step. A block is stored plane by plane, lowest bits
// first: 16 bits, that of its first coordinate lowest. Coordinates from n_coded on have no codes.
struct RotatedGrid {
    const std::uint8_t* widths = nullptr;  // 1..8, per block
    const float* steps = nullptr;          // likewise
    const float* direction = nullptr;      // per coordinate: a unit vector, that of the mean; or zeros
    std::int64_t n_coded = 0;
    std::int64_t n_coords = 0;
};

std::int64_t bytes_per_row(const RotatedGrid& grid);

// y = V (x - mean), sums in float64, each rounded once: the same bits on every instruction set.
// `with_rest`: a last column holds the length of what the axes do not span. `x` may be codes.
void rotate(const MatrixView& x, const AxesView& axes, bool with_rest, const Execution& execution, float* out);

// The grid is laid over coded coordinates of length 1. What codes of a row stand for keeps the row's length
// and its component along `direction`, that of the mean. Throws ValueError for a row that is not finite.
void quantize_rotated(const MatrixView& x, const AxesView& axes, const RotatedGrid& grid, const Execution& execution,
                      std::uint8_t* codes, float* scale, float* offset);

}  // namespace embmath
