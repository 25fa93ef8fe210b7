// Rows of codes as they are stored, one after the other, against the digits of a few queries; and the
// sums over the codes alone that their lengths follow from.
#pragma once

#include "core/compiler.hpp"
#include "kernel/load.hpp"
#include "kernel/table.hpp"
#include "kernel/tile.hpp"

namespace embmath::kernel {

inline constexpr std::size_t kCodeWord = isa::kLanes * 4;  // bytes of a vector of codes

// A byte each.
template <class I>
struct ByteCodes : CodeDotStep<I> {
    static constexpr CodeScan form = CodeScan::bytes;
};

template <class I>
struct NibbleCodes : NibbleDotStep<I> {
    static constexpr CodeScan form = CodeScan::nibbles;
};

// Eight bits to a byte, each as 0 or 2: signs are one less. The lowest bit comes first.
template <class I>
struct BitCodes {
    static constexpr CodeScan form = CodeScan::bits;
    static constexpr int kParts = 8;
    template <int Part, class V>
    static EMBMATH_INLINE V part(V row) noexcept {
        const V two = I::broadcast(0x02020202u);
        if constexpr (Part == 0) return I::bit_and(I::add(row, row), two);
        else return I::bit_and(I::template shift_right<Part - 1>(row), two);
    }
};

template <class Op, int Part, class V>
EMBMATH_INLINE V code_part(V codes) noexcept {
    if constexpr (parts_of<Op>() == 1) return codes;
    else return Op::template part<Part>(codes);
}

// Calls f<0>() ... f<Parts - 1>().
template <int Parts, class F, int Part = 0>
EMBMATH_INLINE void each_part(const F& f) noexcept {
    if constexpr (Part < Parts) {
        f.template operator()<Part>();
        each_part<Parts, F, Part + 1>(f);
    }
}

// Four rows (one reduction) against L lanes.
template <class I, class Op, int L>
EMBMATH_INLINE void scan_registers(const CodeScanArgs& args, int first_row, int first_lane, bool from_memory) noexcept {
    constexpr int R = 4, kParts = parts_of<Op>();
    using Vector = typename I::I32;
    const std::uint8_t* rows[R];
    EMBMATH_UNROLL
    for (int r = 0; r < R; ++r) rows[r] = static_cast<const std::uint8_t*>(args.rows[first_row + r]);
    const Vector flip = I::broadcast(0x01010101u * args.flip);
    const auto* queries = static_cast<const std::uint32_t*>(args.queries) + static_cast<std::size_t>(first_lane) * args.query_words;
    Vector acc[L][R];
    EMBMATH_UNROLL
    for (int l = 0; l < L; ++l) {
        EMBMATH_UNROLL
        for (int r = 0; r < R; ++r) acc[l][r] = I::broadcast(0u);
    }
    const auto step = [&](const Vector(&codes)[R], const std::uint32_t* words) EMBMATH_INLINE_LAMBDA {
        each_part<kParts>([&]<int Part>() EMBMATH_INLINE_LAMBDA {
            Vector parts[R];
            EMBMATH_UNROLL
            for (int r = 0; r < R; ++r) parts[r] = code_part<Op, Part>(codes[r]);
            EMBMATH_UNROLL
            for (int l = 0; l < L; ++l) {
                const Vector query = I::load(words + static_cast<std::size_t>(l) * args.query_words + Part * isa::kLanes);
                EMBMATH_UNROLL
                for (int r = 0; r < R; ++r) acc[l][r] = I::dot_bytes(acc[l][r], parts[r], query);
            }
        });
    };
    std::size_t byte = 0;
    const std::uint32_t* words = queries;
    for (; byte + kCodeWord <= args.n_bytes; byte += kCodeWord, words += kParts * isa::kLanes) {
        Vector codes[R];
        EMBMATH_UNROLL
        for (int r = 0; r < R; ++r) {
            if (from_memory) __builtin_prefetch(rows[r] + byte + args.ahead, 0, 2);
            codes[r] = I::bit_xor(I::load(rows[r] + byte), flip);
        }
        step(codes, words);
    }
    if (byte < args.n_bytes) {
        Vector codes[R];
        EMBMATH_UNROLL
        for (int r = 0; r < R; ++r) {
            if (from_memory) __builtin_prefetch(rows[r] + byte + args.ahead, 0, 2);
            codes[r] = I::bit_xor(I::load_part(rows[r] + byte, args.n_bytes - byte), flip);
        }
        step(codes, words);
    }
    EMBMATH_UNROLL
    for (int l = 0; l < L; ++l) {
        std::uint32_t sums[R];
        I::sum_each(acc[l][0], acc[l][1], acc[l][2], acc[l][3], sums);
        const std::uint32_t start = args.start[first_lane + l];
        std::uint32_t* out = args.sums + (first_lane + l) * isa::kLanes + first_row;
        EMBMATH_UNROLL
        for (int r = 0; r < R; ++r) out[r] = sums[r] + start;
    }
}

// Sixteen sums of four lanes fit the registers where those are 512 bits wide and 32.
template <class I>
inline constexpr int kScanLanes = I::tile(8).queries == 8 ? 4 : 1;

template <class I, class Op>
void scan_codes(const CodeScanArgs& args) noexcept {
    for (int row = 0; row < isa::kLanes; row += 4) {
        int lane = 0;
        if constexpr (kScanLanes<I> == 4) {
            for (; lane + 4 <= args.n_lanes; lane += 4) scan_registers<I, Op, 4>(args, row, lane, lane == 0);
            for (; lane + 2 <= args.n_lanes; lane += 2) scan_registers<I, Op, 2>(args, row, lane, lane == 0);
        }
        for (; lane < args.n_lanes; ++lane) scan_registers<I, Op, 1>(args, row, lane, lane == 0);
    }
}

// How many bytes hold four low bits that are all set.
template <class I>
EMBMATH_INLINE typename I::I32 add_full(typename I::I32 acc, typename I::I32 bits) noexcept {
    const auto one = I::broadcast(0x01010101u);
    const auto pairs = I::bit_and(bits, I::template shift_right<2>(bits));
    return I::dot_bytes(acc, I::bit_and(I::bit_and(pairs, I::template shift_right<1>(pairs)), one), one);
}

// Squares of bytes: c (c - 128), or, where products of pairs saturate, c (16 high + low).
template <class I, class Op, bool counts_top>
EMBMATH_INLINE void add_moments(typename I::I32 codes, typename I::I32 (&acc)[4]) noexcept {
    const auto nibble = I::broadcast(0x0f0f0f0fu), one = I::broadcast(0x01010101u);
    const auto low = I::bit_and(codes, nibble), high = I::bit_and(I::template shift_right<4>(codes), nibble);
    if constexpr (Op::form == CodeScan::nibbles) {
        acc[0] = I::dot_bytes(I::dot_bytes(acc[0], low, one), high, one);
        acc[1] = I::dot_bytes(I::dot_bytes(acc[1], low, low), high, high);
        if constexpr (counts_top) acc[3] = add_full<I>(add_full<I>(acc[3], low), high);
    } else {
        acc[0] = I::dot_bytes(acc[0], codes, one);
        if constexpr (I::code_levels == isa::kFullCodes) {
            acc[1] = I::dot_bytes(acc[1], codes, I::bit_xor(codes, I::broadcast(0x80808080u)));
        } else {
            acc[1] = I::dot_bytes(acc[1], codes, low);
            acc[2] = I::dot_bytes(acc[2], codes, high);
        }
        if constexpr (counts_top) acc[3] = add_full<I>(acc[3], I::bit_and(low, high));
    }
}

template <class I, class Op, bool counts_top>
EMBMATH_INLINE void row_moments(const CodeScanArgs& args, const std::uint8_t* codes, std::uint32_t* sums) noexcept {
    const auto flip = I::broadcast(0x01010101u * args.flip), zero = I::broadcast(0u);
    typename I::I32 acc[4] = {zero, zero, zero, zero};
    std::size_t byte = 0;
    for (; byte + kCodeWord <= args.n_bytes; byte += kCodeWord) {
        const auto word = I::bit_xor(I::load(codes + byte), flip);
        add_moments<I, Op, counts_top>(I::bit_and(word, I::load(args.mask + byte)), acc);
    }
    if (byte < args.n_bytes) {
        const auto word = I::bit_xor(I::load_part(codes + byte, args.n_bytes - byte), flip);
        add_moments<I, Op, counts_top>(I::bit_and(word, I::load(args.mask + byte)), acc);
    }
    I::sum_each(acc[0], acc[1], acc[2], acc[3], sums);
    if (Op::form == CodeScan::bytes && I::code_levels == isa::kFullCodes) sums[1] += 128u * sums[0];
}

template <class I, class Op>
void code_moments(const CodeScanArgs& args) noexcept {
    for (int row = 0; row < isa::kLanes; ++row) {
        const auto* codes = static_cast<const std::uint8_t*>(args.rows[row]);
        std::uint32_t* sums = args.sums + row * 4;
        if (args.counts_top) row_moments<I, Op, true>(args, codes, sums);
        else row_moments<I, Op, false>(args, codes, sums);
    }
}

// |x|^2 of what codes on a grid of columns decode to, in float32: x = min(c + shift, top) step + start.
template <class I, class Code>
double decoded_sq_norm(const GridNormArgs& args) noexcept {
    const auto* codes = static_cast<const typename Code::storage*>(args.codes);
    const auto shift = I::broadcast(args.shift), top = I::broadcast(args.top);
    auto even = I::broadcast(0.0F), odd = even;
    const auto add = [&](auto acc, auto code, std::size_t col) EMBMATH_INLINE_LAMBDA {
        const auto place = I::min(I::add(code, shift), top);
        const auto x = I::fma(place, I::load(args.step + col), I::load(args.start + col));
        return I::fma(x, x, acc);
    };
    std::size_t col = 0;
    for (; col + 2 * kLanes <= args.n_cols; col += 2 * kLanes) {
        even = add(even, load_f32<I, Code>(codes + col), col);
        odd = add(odd, load_f32<I, Code>(codes + col + kLanes), col + kLanes);
    }
    for (; col + kLanes <= args.n_cols; col += kLanes) even = add(even, load_f32<I, Code>(codes + col), col);
    if (col < args.n_cols) odd = add(odd, load_f32_tail<I, Code>(codes + col, args.n_cols - col), col);
    return I::sum(I::add(I::widen(even), I::widen(odd)));
}

}  // namespace embmath::kernel
