// What scalar codes look like.
#pragma once

#include <cstdint>

#include "embmath/types.hpp"

namespace embmath {

// With v = (x - low) / step, every operation rounded to float32 (to float64 for float64 rows):
//   floor      floor(v)                                  sentence-transformers 6
//   nearest    v to nearest, ties away from zero         Qdrant
//   truncate   signed codes: v - 128 towards zero        sentence-transformers 5; unsigned: floor(v)
//   ratio      floor((x - low) / (high - low) * levels)  FAISS
enum class Rounding : std::uint8_t { floor, nearest, truncate, ratio };

// What the codes of a matrix look like.
struct CodeFormat {
    int levels = 255;  // the largest code, counted from 0; of symmetric codes from either side of 0
    bool is_signed = false;     // stored as int8: the code minus 128
    bool is_symmetric = false;  // stored as int8: x / step, without a minimum
    Rounding rounding = Rounding::nearest;
    bool is_packed = false;     // two to a byte
    NibbleLayout layout = NibbleLayout::interleaved;
};

}  // namespace embmath
