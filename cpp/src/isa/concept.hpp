// The vocabulary a kernel may speak. An Isa is an empty struct of force-inlined functions over
// 16-lane values, whatever registers those take: lanes are rows of a packed block (F32, I32) or the
// sixteen strided lanes of the canonical sum (F64). A missing verb is one readable error here.
//
// Optional, for a dtype D that the hardware converts: load_f32(D, p), load_f64(D, p), store_f32(D, p, v),
// and for a line of 32 stream_f32(D, p, v, w); kernel/load.hpp falls back to the scalar decode of
// core/dtype.hpp. store_bits(p, bits): 64 bits as bytes 0 and 1, the lowest first.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include "core/order_key.hpp"

namespace embmath::isa {

inline constexpr int kLanes = 16;
using Mask = std::uint32_t;  // bit l: lane l

// Register tile: `queries` broadcasts against `blocks` vectors of 16 rows.
struct TileShape {
    int queries;
    int blocks;
};

// Largest |query code| that dot_bytes() takes. A saturating multiply-add of byte pairs stays exact up
// to 64: 2 * 255 * 64 = 32,640 < 2^15.
inline constexpr int kFullCodes = 127, kPairSafeCodes = 64;

template <class I>
concept Isa = requires(typename I::F32 f, typename I::F64 g, typename I::I32 i, typename I::F32 (&block)[16],
                       const float* f_in, float* f_out, const double* g_in, double* g_out,
                       const std::uint32_t* i_in, std::uint32_t* i_out, const std::uint8_t* b_in,
                       std::uint8_t* b_out, std::size_t n, core::Key* keys, Mask mask) {
    { I::name } -> std::convertible_to<const char*>;
    { I::tile(1).queries } -> std::convertible_to<int>;        // register tile for up to this many queries
    { I::canonical_rows } -> std::convertible_to<int>;         // rows whose float64 sums fit the registers
    { I::code_levels } -> std::convertible_to<int>;            // kFullCodes or kPairSafeCodes
    { I::multiplies_bytes } -> std::convertible_to<bool>;      // in hardware, sooner than floats
    { I::load(f_in) } -> std::same_as<typename I::F32>;
    { I::broadcast(1.0F) } -> std::same_as<typename I::F32>;
    { I::store(f_out, f) };
    { I::stream(f_out, f) };  // past the caches where there is a way; 64-byte aligned
    { I::fence() };           // what was streamed comes before what follows
    { I::fma(f, f, f) } -> std::same_as<typename I::F32>;  // a * b + c, one rounding where available
    { I::add(f, f) } -> std::same_as<typename I::F32>;
    { I::sub(f, f) } -> std::same_as<typename I::F32>;
    { I::mul(f, f) } -> std::same_as<typename I::F32>;
    { I::div(f, f) } -> std::same_as<typename I::F32>;
    { I::abs(f) } -> std::same_as<typename I::F32>;
    { I::sqrt(f) } -> std::same_as<typename I::F32>;
    { I::max(f, f) } -> std::same_as<typename I::F32>;  // second operand where either is NaN
    { I::min(f, f) } -> std::same_as<typename I::F32>;  // second operand where either is NaN
    { I::not_less(f, f) } -> std::same_as<Mask>;        // !(a < b): true for NaN
    { I::transpose(block) };
    { I::push_keys(keys, mask, f, i_in) } -> std::same_as<int>;  // appends key(f, id) of set lanes

    { I::load(g_in) } -> std::same_as<typename I::F64>;
    { I::broadcast(1.0) } -> std::same_as<typename I::F64>;
    { I::widen(f) } -> std::same_as<typename I::F64>;
    { I::narrow(g) } -> std::same_as<typename I::F32>;
    { I::store(g_out, g) };
    { I::stream(g_out, g) };
    { I::fma(g, g, g) } -> std::same_as<typename I::F64>;
    { I::add(g, g) } -> std::same_as<typename I::F64>;
    { I::sub(g, g) } -> std::same_as<typename I::F64>;
    { I::mul(g, g) } -> std::same_as<typename I::F64>;
    { I::div(g, g) } -> std::same_as<typename I::F64>;
    { I::abs(g) } -> std::same_as<typename I::F64>;
    { I::sqrt(g) } -> std::same_as<typename I::F64>;
    { I::max(g, g) } -> std::same_as<typename I::F64>;  // second operand where either is NaN
    { I::min(g, g) } -> std::same_as<typename I::F64>;  // second operand where either is NaN
    { I::not_less(g, g) } -> std::same_as<Mask>;        // !(a < b): true for NaN
    { I::sum(g) } -> std::same_as<double>;  // the canonical tree: 8+8, 4+4, 2+2, 1+1

    { I::load(i_in) } -> std::same_as<typename I::I32>;
    { I::load(b_in) } -> std::same_as<typename I::I32>;          // 64 bytes, wherever they lie
    { I::load_part(b_in, n) } -> std::same_as<typename I::I32>;  // n < 64 bytes, zeros after them; reads no others
    { I::broadcast(std::uint32_t{1}) } -> std::same_as<typename I::I32>;
    { I::store(i_out, i) };
    { I::add(i, i) } -> std::same_as<typename I::I32>;
    { I::bit_and(i, i) } -> std::same_as<typename I::I32>;
    { I::bit_xor(i, i) } -> std::same_as<typename I::I32>;
    { I::template shift_right<4>(i) } -> std::same_as<typename I::I32>;  // zeros from above
    { I::popcount(i) } -> std::same_as<typename I::I32>;
    { I::sum(i) } -> std::same_as<std::uint32_t>;
    { I::sum_each(i, i, i, i, i_out) };                     // four sums at once, for less than four times one
    { I::to_f32(i) } -> std::same_as<typename I::F32>;
    { I::as_f32(i) } -> std::same_as<typename I::F32>;     // the same bits
    { I::to_i32(f) } -> std::same_as<typename I::I32>;     // to nearest, ties to even
    { I::truncate(f) } -> std::same_as<typename I::I32>;   // towards zero
    { I::truncate(g) } -> std::same_as<typename I::I32>;   // towards zero
    { I::store_bytes(b_out, i) };                          // the low byte of each lane
    { I::dot_bytes(i, i, i) } -> std::same_as<typename I::I32>;  // acc + sum of 4 (u8 row * s8 query)
};

}  // namespace embmath::isa
