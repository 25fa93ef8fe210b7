// The vocabulary shared by every room: element types, metrics, and a matrix seen from outside.
#pragma once

#include <cstdint>

namespace embmath {

enum class Dtype : std::uint8_t { f16, bf16, f32, f64, i8, u8 };
inline constexpr int kDtypeCount = 6;

enum class Metric : std::uint8_t { cosine, dot, euclidean, sqeuclidean, manhattan, hamming, jaccard };
inline constexpr int kMetricCount = 7;

struct Coding;  // quantize.hpp

// Rows of a matrix that somebody else owns. Strides are in bytes and may be zero or negative;
// elements need not be aligned. Nothing in the library writes through it.
struct MatrixView {
    const void* data = nullptr;
    std::int64_t n_rows = 0;
    std::int64_t n_cols = 0;
    std::int64_t row_stride = 0;
    std::int64_t col_stride = 0;
    Dtype dtype = Dtype::f32;
    const Coding* coding = nullptr;  // what the rows stand for, where search and similarity take codes
};

// Two 4-bit codes in a byte: neighbours, the even dimension in the low half (FAISS); or dimension i in
// the high half of byte i, dimension i + d/2 in the low half (Lucene).
enum class NibbleLayout : std::uint8_t { interleaved, split };

// Element type of a result: float32 unless an input is float64; integers where every score is one.
enum class ResultType : std::uint8_t { f32, f64, i32, i64 };

}  // namespace embmath
