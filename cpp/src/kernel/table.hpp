// What an ISA offers: one plain table of function pointers, the only thing dispatch and engine see.
//
// A packed block holds 16 rows, dimensions interleaved: block[step][16], one 32-bit word per row and
// step (a float32, or four bytes of packed bits). Queries are packed the same way.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/decoded_rows.hpp"
#include "core/order_key.hpp"
#include "embmath/types.hpp"

namespace embmath::kernel {

inline constexpr int kBlockRows = 16;
inline constexpr int kTileQueries = 8;  // most queries one tile call takes: half a packed block

// Sums a tile accumulates, word by word.
enum class TileOp : std::uint8_t { dot, sqdiff, absdiff, xor_count, and_count, code_dot, nibble_dot };
inline constexpr int kTileOpCount = 7;

// How a tile sum becomes an upper bound that is compared with a threshold. The last number: terms
// added per row. "wide" sums come as two digits, 128 * high + low.
enum class SelectOp : std::uint8_t {
    affine_f32_1, affine_i32_1, affine_i32_2, affine_i32_3, wide_i32_1, wide_i32_2, wide_i32_3, ratio_i32
};
inline constexpr int kSelectOpCount = 8;
inline constexpr int kMaxTerms = 3;
inline constexpr int kDigitBase = 128;

// How a tile sum becomes an element of a result matrix.
enum class FinishOp : std::uint8_t { scaled, clamped, plain, root };
inline constexpr int kFinishOpCount = 4;

// Canonical float64 sums of one pair. "separate" rounds products before adding them: for inputs
// whose products are not exact in float64.
enum class CanonicalOp : std::uint8_t {
    dot, dot_separate, dot_norm, dot_norm_separate, norm, norm_separate, sqdiff, absdiff, hamming, jaccard
};
inline constexpr int kCanonicalOpCount = 10;

struct PackArgs {
    const void* const* rows;  // n_rows pointers to contiguous elements
    int n_rows;               // 1..16; missing rows are packed as zeros
    std::size_t n_cols;
    const double* row_scale;  // 16 powers of two applied in float64, or null for none
    float* block;             // n_cols * 16
    float* sq_norm;           // 16: float32 chain of squares in ascending dimension
    float* max_abs;           // 16
};

// A row as int8 codes: code = round(x * levels / max|x|), integers as they are.
struct EncodeArgs {
    const void* row;
    std::size_t n_cols;
    int levels;
    int bias;             // added to each code
    std::ptrdiff_t ahead; // bytes from the row to memory that will be read soon, or 0
    std::uint8_t* codes;  // ceil(n_cols / 16) * 16 bytes, the last of them codes of zeros
};

// Float64 sums over a row x and its codes c: what its least-squares scale and residual follow from.
struct EncodeSums {
    double max_abs;   // float32; of integers 1
    double sq_norm;   // |x|^2
    double product;   // <x, c>
    double sq_code;   // |c|^2
};

// A row as one-byte codes on a uniform grid:
// code = clamp((x - start) / step * factor + shift, low, high), truncated or to nearest, plus bias.
struct QuantizeArgs {
    const void* row;
    std::size_t n_cols;
    const float* start;  // one, or one per column up to a multiple of 16
    const float* step;
    bool per_column;
    bool to_nearest;     // ties away from zero
    float factor, shift, low, high;  // NaN becomes low
    int bias;
    std::ptrdiff_t ahead;  // bytes from the row to memory that will be read soon, or 0
    std::uint8_t* codes;
};

// A row of codes as numbers: clamp(code + zero + clamp(code, half_low, half_high), low, high) * step + start.
struct DecodeArgs {
    const void* codes;
    std::size_t n_cols;
    const double* start;  // one, or one per column; null: zero (and one step for all)
    const double* step;   // a float32
    bool per_column;
    float zero, half_low, half_high, low, high;
    void* out;
};

inline constexpr int kAxisGroup = 4;  // axes that are packed side by side

// x' = x - mean, rounded to float32, of a packed block.
struct CenterArgs {
    const float* block;   // [n_cols][16]
    std::size_t n_cols;
    const double* mean;   // null: zeros
    double* out;          // [n_cols][16]
    double* sq_norm;      // 16: |x'|^2
};

// Packed blocks times axes: y[axis][row].
struct RotateArgs {
    const double* blocks;  // [n_blocks][n_cols][16]
    std::size_t n_blocks;
    std::size_t n_cols;
    const double* axes;    // [n_groups][n_cols][kAxisGroup]
    std::size_t n_groups;
    float* y;              // [n_groups * kAxisGroup][ld]
    std::size_t ld;
};

// Codes of up to 16 rotated rows (embmath/rotated_codes.hpp), and sums over their coordinates y, their grid
// points g and the direction.
struct RotatedEncodeArgs {
    const float* y;        // [n_coords][ld], a row per column
    std::size_t ld;
    int n_rows;
    std::size_t n_coded, n_coords;
    const std::uint8_t* widths;
    const float* steps;
    const float* direction;
    std::uint8_t* codes;
    std::size_t row_bytes;
    double *sq_grid, *along_grid, *along_row, *product;  // 16 each: |g|^2, <g,u>, <y,u>, <g,y>
};

struct RotatedDecodeArgs {
    const std::uint8_t* codes;
    std::size_t n_coded;
    const std::uint8_t* widths;
    const float* steps;
    const float* direction;  // up to a multiple of 16
    float scale, offset;
    float* out;
};

struct RowRange {
    float low, high;
    bool is_finite;  // every element is
};

// Bits: which elements are above the threshold.
struct BitArgs {
    const void* row;
    std::size_t n_cols;
    double threshold;
    float below;         // the largest float32 not above the threshold
    std::uint8_t flip;   // applied to each byte by exclusive or
    std::ptrdiff_t ahead;
    std::uint8_t* out;   // ceil(n_cols / 8) bytes
};

struct TileArgs {
    const void* queries;       // into a packed block, at the first query's lane
    int n_queries;             // 1..8, or up to KernelTable::code_queries
    const void* panel;         // packed blocks
    std::size_t n_blocks;
    std::size_t block_stride;  // words from block to block
    std::size_t n_steps;       // words of a row
    const void* start;         // what each query's sums start from, one word each; null: zero
    void* scores;              // [n_queries][ld] words
    std::size_t ld;
    const void* query_rows = nullptr;  // codes, query by query, where the table takes more than 8
    std::size_t query_words = 0;       // from query to query
    bool from_memory = false;          // the panel is not in cache yet
};

// Rows of codes one after the other, of which a few are wanted. In 64 bytes of packed codes the low
// halves go with the first 64 bytes of the query, the high ones with the next.
struct CodeRowsArgs {
    const void* query;            // codes, signed; n_words words for each word of a row's codes
    const void* rows;
    std::size_t row_words;        // a multiple of 16
    const std::uint32_t* wanted;  // which rows
    std::size_t n_wanted;
    std::int32_t* sums;           // what they are added to
};

// Rows of codes as they are stored, sixteen at a time.
enum class CodeScan : std::uint8_t { bytes, nibbles, bits };
inline constexpr int kCodeScanCount = 3;

// Of 64 bytes of codes the first part (all of a byte, its low half, its lowest bit) goes with the
// first 64 bytes of a query, the next part with the next.
struct CodeScanArgs {
    const void* const* rows;    // 16 pointers
    std::size_t n_bytes;        // of a row
    std::uint8_t flip;          // applied to each byte by exclusive or
    std::ptrdiff_t ahead;       // bytes from a row to memory that will be read soon, or 0
    const void* queries;        // lane by lane: signed codes, zeros where a row holds none
    std::size_t query_words;    // from lane to lane
    int n_lanes;
    const std::uint32_t* start; // what each lane's sums start from
    const std::uint8_t* mask;   // which bits of a row's bytes are codes: up to a multiple of 64
    bool counts_top;            // whether moments count the largest code there is
    std::uint32_t* sums;        // [n_lanes][16]
    std::uint32_t* moments;     // null, or, of bytes and nibbles, [4][16]: over the codes c of a row, the sums of
                                // c and of c^2, the latter as [1] + 16 [2]; how many are the largest
};

// Lengths of 16 rows on grids of their own, or on one: code c stands for step (c - middle + shift) + minimum.
struct DecodedLengthArgs {
    const float* step;      // 16, as are the following
    const float* minimum;   // null: zeros
    const std::uint32_t* moments;  // CodeScanArgs; null: not known
    double shift, middle, n_cols;
    double half;            // of a step that the largest code may be off by
    double decoding;        // what decoding rounds by, relative to a row's length
    core::DecodedRows* rows;
};

// Terms of 16 rows' bounds from their lengths.
struct DecodedTermsArgs {
    Metric metric;
    const core::DecodedRows* rows;
    double slack;           // for rounding, relative to a row's length
    double query_residual;  // of distances: the most that any query's codes leave out
    float* mul;
    float* add[kMaxTerms];
};

inline constexpr int kGridRows = 4;

// Rows of codes on a grid of columns: min(code + shift, top) * step + start.
struct GridNormArgs {
    const void* codes[kGridRows];
    std::size_t n_cols;
    float shift, top;
    bool is_clamped;     // whether top is ever reached
    const float* step;   // up to a multiple of 16: zeros
    const float* start;
    double* sq_norms;    // kGridRows
};

struct SelectArgs {
    const void* scores;           // one query's tile sums, n_blocks * 16 words
    const void* low_scores;       // of a wide sum
    std::size_t n_blocks;
    const float* mul;             // per row
    const float* add[kMaxTerms];  // per row
    float scale, constant;        // bound = sum * mul * scale + constant + add[0] * weight[0] + ...
    float weight[kMaxTerms];
    float threshold;
    const std::uint32_t* ids;     // per row
    const std::uint16_t* valid;   // per block: bit l set if row l may be returned
    const std::uint8_t* allowed;  // per id: the query's own mask, or null
    std::uint32_t excluded;       // id this query never returns (no id equals 2^32 - 1)
    core::Key* keys;              // room for n_blocks * 16
};

// Sums of differences outside this range had squares that overflow or vanish; products below
// kTinyProduct may have an undone scaling that ended among the denormals.
inline constexpr float kLeastDifference = 0x1p-100F, kMostDifference = 0x1p120F, kTinyProduct = 0x1p-100F;

struct FinishArgs {
    const float* scores;
    std::size_t n_cols;
    const float* mul;  // per column, for scaled and clamped
    float query_mul;
    float alpha, beta;  // out = alpha * value + beta
    float* out;
};

// Rows scaled into consecutive rows of `out`, past the caches: for results that are too large for
// them. The lines of `out` then need not be read before they are written.
struct StreamArgs {
    const void* const* rows;
    const void* const* next;  // for each row one that will be read soon
    const double* factors;    // per row
    int n_rows;
    std::size_t n_cols;
    void* out;
};

using PackFn = void (*)(const PackArgs&) noexcept;
using EncodeFn = EncodeSums (*)(const EncodeArgs&) noexcept;
using TileFn = void (*)(const TileArgs&) noexcept;
using CodeRowsFn = void (*)(const CodeRowsArgs&) noexcept;
using CodeScanFn = void (*)(const CodeScanArgs&) noexcept;
using DecodedLengthFn = void (*)(const DecodedLengthArgs&) noexcept;
using DecodedTermsFn = std::uint32_t (*)(const DecodedTermsArgs&) noexcept;  // lanes without bounds, or of zeros
using GridNormFn = void (*)(const GridNormArgs&) noexcept;
using SelectFn = std::size_t (*)(const SelectArgs&) noexcept;
// Returns whether any element is suspect: float32 may have lost more than rounding.
using FinishFn = bool (*)(const FinishArgs&) noexcept;
// `query`: float64 padded with zeros to a multiple of 16 (packed bits: the bytes). sums: two values
// for each of the n_rows rows. `next`: for each row one that will be read soon; may be `rows` itself.
using CanonicalFn = void (*)(const void* query, const void* const* rows, const void* const* next, int n_rows,
                             std::size_t n_cols, double* sums) noexcept;
// Writes ceil(n/16)*16 float64, zeros after the last.
using WidenFn = void (*)(const void* row, std::size_t n_cols, double* out) noexcept;
// out = x * factor in float64, rounded to the row's own type (through float32 if that is narrower).
using ScaleFn = void (*)(const void* row, std::size_t n_cols, double factor, void* out) noexcept;
using StreamFn = void (*)(const StreamArgs&) noexcept;

using QuantizeFn = void (*)(const QuantizeArgs&) noexcept;
using DecodeFn = void (*)(const DecodeArgs&) noexcept;
using ConvertFn = void (*)(const void* row, std::size_t n_cols, void* out) noexcept;
using RowRangeFn = RowRange (*)(const void* row, std::size_t n_cols, std::ptrdiff_t ahead) noexcept;
// Widens the ranges of the columns (padded to a multiple of 16); returns whether all elements are finite.
using ColumnRangesFn = bool (*)(const void* row, std::size_t n_cols, std::ptrdiff_t ahead, float* low, float* high) noexcept;
using CenterFn = void (*)(const CenterArgs&) noexcept;
using RotateFn = void (*)(const RotateArgs&) noexcept;
using EncodeRotatedFn = void (*)(const RotatedEncodeArgs&) noexcept;
using DecodeRotatedFn = void (*)(const RotatedDecodeArgs&) noexcept;
using PackBitsFn = void (*)(const BitArgs&) noexcept;
using UnpackBitsFn = void (*)(const std::uint8_t* codes, std::size_t n_cols, std::uint8_t flip, void* out) noexcept;
using NibblesFn = void (*)(const std::uint8_t* codes, std::size_t n_cols, NibbleLayout layout, std::uint8_t* out) noexcept;

struct KernelTable {
    const char* name;
    PackFn pack[kDtypeCount];
    PackFn pack_words;  // rows of bytes, four to a word; n_cols counts bytes
    EncodeFn encode[kDtypeCount];
    int code_levels;    // largest |query code| that TileOp::code_dot takes
    int code_queries;   // most queries that it takes at once
    bool multiplies_bytes;  // in hardware: codes save time, not only memory
    TileFn tile[kTileOpCount];
    CodeRowsFn code_rows, nibble_rows;
    CodeScanFn scan_codes[kCodeScanCount];
    DecodedLengthFn decoded_lengths;
    DecodedTermsFn decoded_terms;
    GridNormFn decoded_sq_norms[2];  // of int8, of uint8
    SelectFn select[kSelectOpCount];
    FinishFn finish[kFinishOpCount];
    CanonicalFn canonical[kCanonicalOpCount][kDtypeCount];  // null where an op has no meaning
    WidenFn widen[kDtypeCount];
    ScaleFn scale[kDtypeCount];
    QuantizeFn quantize[kDtypeCount];
    RowRangeFn row_range[kDtypeCount];
    ColumnRangesFn column_ranges[kDtypeCount];
    DecodeFn decode_i8[kDtypeCount];   // by the dtype decoded into
    DecodeFn decode_u8[kDtypeCount];
    ConvertFn convert[kDtypeCount][kDtypeCount];  // from, to
    PackBitsFn pack_bits[kDtypeCount];
    UnpackBitsFn unpack_bits[kDtypeCount];
    NibblesFn pack_nibbles, unpack_nibbles;
    StreamFn scale_streamed[kDtypeCount];
    CenterFn center;
    RotateFn rotate;
    EncodeRotatedFn encode_rotated;
    DecodeRotatedFn decode_rotated;
};

}  // namespace embmath::kernel
