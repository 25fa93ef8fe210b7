// What an ISA offers: one plain table of function pointers, the only thing dispatch and engine see.
//
// A packed block holds 16 rows, dimensions interleaved: block[step][16], one 32-bit word per row and
// step (a float32, or four bytes of packed bits). Queries are packed the same way.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/order_key.hpp"
#include "embmath/types.hpp"

namespace embmath::kernel {

inline constexpr int kBlockRows = 16;
inline constexpr int kTileQueries = 8;  // most queries one tile call takes: half a packed block

// Sums a tile accumulates, word by word.
enum class TileOp : std::uint8_t { dot, sqdiff, absdiff, xor_count, and_count };
inline constexpr int kTileOpCount = 5;

// How a tile sum becomes an upper bound that is compared with a threshold.
enum class SelectOp : std::uint8_t { affine_f32, affine_i32, ratio_i32 };
inline constexpr int kSelectOpCount = 3;

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

struct TileArgs {
    const void* queries;       // into a packed block, at the first query's lane
    int n_queries;             // 1..8
    const void* panel;         // packed blocks
    std::size_t n_blocks;
    std::size_t block_stride;  // words from block to block
    std::size_t n_steps;
    void* scores;              // [n_queries][ld] words
    std::size_t ld;
};

struct SelectArgs {
    const void* scores;           // one query's tile sums, n_blocks * 16 words
    std::size_t n_blocks;
    const float* mul;             // per row
    const float* add;             // per row
    float add_scale;
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

using PackFn = void (*)(const PackArgs&) noexcept;
using TileFn = void (*)(const TileArgs&) noexcept;
using SelectFn = std::size_t (*)(const SelectArgs&) noexcept;
// Returns whether any element is suspect: float32 may have lost more than rounding.
using FinishFn = bool (*)(const FinishArgs&) noexcept;
// `query`: float64 padded with zeros to a multiple of 16 (packed bits: the bytes). sums: two values
// for each of the n_rows rows. `ahead`: bytes from a row to memory that will be read soon, or 0.
using CanonicalFn = void (*)(const void* query, const void* const* rows, int n_rows, std::size_t n_cols,
                             std::ptrdiff_t ahead, double* sums) noexcept;
// Writes ceil(n/16)*16 float64, zeros after the last.
using WidenFn = void (*)(const void* row, std::size_t n_cols, double* out) noexcept;
// out = x * factor in float64, rounded to the row's own type (through float32 if that is narrower).
using ScaleFn = void (*)(const void* row, std::size_t n_cols, double factor, void* out) noexcept;

struct KernelTable {
    const char* name;
    PackFn pack[kDtypeCount];
    PackFn pack_words;  // rows of bytes, four to a word; n_cols counts bytes
    TileFn tile[kTileOpCount];
    SelectFn select[kSelectOpCount];
    FinishFn finish[kFinishOpCount];
    CanonicalFn canonical[kCanonicalOpCount][kDtypeCount];  // null where an op has no meaning
    WidenFn widen[kDtypeCount];
    ScaleFn scale[kDtypeCount];
};

}  // namespace embmath::kernel
