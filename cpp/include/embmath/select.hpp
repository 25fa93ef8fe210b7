// Selection: the k best elements of every row of an array.
#pragma once

#include <cstdint>

#include "embmath/runtime.hpp"

namespace embmath {

// Arrays that are scores rather than embeddings also come as int32 and int64.
enum class ArrayType : std::uint8_t { f16, bf16, f32, f64, i8, u8, i32, i64 };

struct ArrayView {
    const void* data = nullptr;
    std::int64_t n_rows = 0;
    std::int64_t n_cols = 0;
    std::int64_t row_stride = 0;  // bytes
    std::int64_t col_stride = 0;
    ArrayType type = ArrayType::f32;
};

// Writes values[n_rows][k], of the array's type, and indices[n_rows][k]. Requires 0 <= k <= n_cols.
// Order: best first, lowest index among equals, NaN last. O(n) per row for k << n.
void top_k(const ArrayView& array, std::int64_t k, bool largest, const Execution& execution, void* values,
           std::int64_t* indices);

}  // namespace embmath
