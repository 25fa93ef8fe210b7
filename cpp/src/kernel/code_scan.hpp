// Rows of codes as they are stored, one after the other, against the digits of a few queries; and the
// sums over the codes alone that their lengths follow from.
#pragma once

#include "core/compiler.hpp"
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

// How many bytes hold four low bits that are all set.
template <class I>
EMBMATH_INLINE typename I::I32 add_full(typename I::I32 acc, typename I::I32 bits) noexcept {
    const auto one = I::broadcast(0x01010101u);
    const auto pairs = I::bit_and(bits, I::template shift_right<2>(bits));
    return I::dot_bytes(acc, I::bit_and(I::bit_and(pairs, I::template shift_right<1>(pairs)), one), one);
}

// What is summed over the codes alone.
enum class Moments { none, sums, sums_and_tops };

inline constexpr int kMoments = 4;

// Squares of bytes: c (c - 128), or, where products of pairs saturate, c (16 high + low).
template <class I, class Op, Moments moments>
EMBMATH_INLINE void add_moments(typename I::I32 part, typename I::I32 (&acc)[kMoments]) noexcept {
    acc[0] = I::dot_bytes(acc[0], part, I::broadcast(0x01010101u));
    if constexpr (Op::form == CodeScan::nibbles) {
        acc[1] = I::dot_bytes(acc[1], part, part);
        if constexpr (moments == Moments::sums_and_tops) acc[3] = add_full<I>(acc[3], part);
    } else {
        const auto nibble = I::broadcast(0x0f0f0f0fu);
        const auto low = I::bit_and(part, nibble), high = I::bit_and(I::template shift_right<4>(part), nibble);
        if constexpr (I::code_levels == isa::kFullCodes) {
            acc[1] = I::dot_bytes(acc[1], part, I::bit_xor(part, I::broadcast(0x80808080u)));
        } else {
            acc[1] = I::dot_bytes(acc[1], part, low);
            acc[2] = I::dot_bytes(acc[2], part, high);
        }
        if constexpr (moments == Moments::sums_and_tops) acc[3] = add_full<I>(acc[3], I::bit_and(low, high));
    }
}

// Calls f<0>() ... f<Parts - 1>().
template <int Parts, class F, int Part = 0>
EMBMATH_INLINE void each_part(const F& f) noexcept {
    if constexpr (Part < Parts) {
        f.template operator()<Part>();
        each_part<Parts, F, Part + 1>(f);
    }
}

inline constexpr int kScanRows = 4;  // of one reduction

// Four rows' codes, word by word: f(codes, byte).
template <class I, class F>
EMBMATH_INLINE void each_word(const CodeScanArgs& args, int first_row, bool from_memory, const F& f) noexcept {
    using Vector = typename I::I32;
    const std::uint8_t* rows[kScanRows];
    EMBMATH_UNROLL
    for (int r = 0; r < kScanRows; ++r) rows[r] = static_cast<const std::uint8_t*>(args.rows[first_row + r]);
    const Vector flip = I::broadcast(0x01010101u * args.flip);
    const auto take = [&](std::size_t byte, const auto& load) EMBMATH_INLINE_LAMBDA {
        Vector codes[kScanRows];
        EMBMATH_UNROLL
        for (int r = 0; r < kScanRows; ++r) {
            if (from_memory) __builtin_prefetch(rows[r] + byte + args.ahead, 0, 2);
            codes[r] = I::bit_xor(load(rows[r] + byte), flip);
        }
        f(codes, byte);
    };
    std::size_t byte = 0;
    for (; byte + kCodeWord <= args.n_bytes; byte += kCodeWord) {
        take(byte, [](const std::uint8_t* codes) EMBMATH_INLINE_LAMBDA { return I::load(codes); });
    }
    const std::size_t left = args.n_bytes - byte;
    if (left > 0) take(byte, [left](const std::uint8_t* codes) EMBMATH_INLINE_LAMBDA { return I::load_part(codes, left); });
}

template <class I>
EMBMATH_INLINE void store_sums(const typename I::I32 (&acc)[kScanRows], std::uint32_t start, std::uint32_t* out) noexcept {
    std::uint32_t sums[kScanRows];
    I::sum_each(acc[0], acc[1], acc[2], acc[3], sums);
    EMBMATH_UNROLL
    for (int r = 0; r < kScanRows; ++r) out[r] = sums[r] + start;
}

template <class I, class Op, Moments moments>
constexpr bool has_moment(int i) {
    if (i == 2) return Op::form == CodeScan::bytes && I::code_levels != isa::kFullCodes;
    return i < 2 || moments == Moments::sums_and_tops;
}

template <class I, class Op, Moments moments>
EMBMATH_INLINE void store_moments(const typename I::I32 (&acc)[kScanRows][kMoments], const CodeScanArgs& args, int first_row) noexcept {
    each_part<kMoments>([&]<int i>() EMBMATH_INLINE_LAMBDA {
        std::uint32_t* out = args.moments + i * isa::kLanes + first_row;
        if constexpr (has_moment<I, Op, moments>(i)) {
            const typename I::I32 rows[kScanRows] = {acc[0][i], acc[1][i], acc[2][i], acc[3][i]};
            store_sums<I>(rows, 0, out);
        } else {
            for (int r = 0; r < kScanRows; ++r) out[r] = 0;
        }
    });
    if (Op::form == CodeScan::bytes && I::code_levels == isa::kFullCodes) {
        std::uint32_t* sums = args.moments + first_row;
        for (int r = 0; r < kScanRows; ++r) sums[isa::kLanes + r] += 128u * sums[r];
    }
}

// Four rows against L lanes.
template <class I, class Op, int L, Moments moments>
EMBMATH_INLINE void scan_registers(const CodeScanArgs& args, int first_row, int first_lane, bool from_memory) noexcept {
    constexpr int R = kScanRows, kParts = parts_of<Op>();
    using Vector = typename I::I32;
    const auto* queries = static_cast<const std::uint32_t*>(args.queries) + static_cast<std::size_t>(first_lane) * args.query_words;
    const Vector zero = I::broadcast(0u);
    Vector acc[L][R], sums[R][kMoments];
    EMBMATH_UNROLL
    for (int r = 0; r < R; ++r) {
        EMBMATH_UNROLL
        for (int l = 0; l < L; ++l) acc[l][r] = zero;
        EMBMATH_UNROLL
        for (int i = 0; i < kMoments; ++i) sums[r][i] = zero;
    }
    each_word<I>(args, first_row, from_memory, [&](Vector(&codes)[R], std::size_t byte) EMBMATH_INLINE_LAMBDA {
        const std::uint32_t* words = queries + byte / 4 * kParts;
        if constexpr (moments != Moments::none) {
            EMBMATH_UNROLL
            for (int r = 0; r < R; ++r) codes[r] = I::bit_and(codes[r], I::load(args.mask + byte));
        }
        each_part<kParts>([&]<int Part>() EMBMATH_INLINE_LAMBDA {
            Vector parts[R];
            EMBMATH_UNROLL
            for (int r = 0; r < R; ++r) parts[r] = code_part<Op, Part>(codes[r]);
            if constexpr (moments != Moments::none) {
                EMBMATH_UNROLL
                for (int r = 0; r < R; ++r) add_moments<I, Op, moments>(parts[r], sums[r]);
            }
            EMBMATH_UNROLL
            for (int l = 0; l < L; ++l) {
                const Vector query = I::load(words + static_cast<std::size_t>(l) * args.query_words + Part * isa::kLanes);
                EMBMATH_UNROLL
                for (int r = 0; r < R; ++r) acc[l][r] = I::dot_bytes(acc[l][r], parts[r], query);
            }
        });
    });
    for (int l = 0; l < L; ++l) {
        store_sums<I>(acc[l], args.start[first_lane + l], args.sums + (first_lane + l) * isa::kLanes + first_row);
    }
    if constexpr (moments != Moments::none) store_moments<I, Op, moments>(sums, args, first_row);
}

// Moments of rows that the first lanes leave no registers for: one after the other.
template <class I, class Op, Moments moments>
EMBMATH_INLINE void scan_moments(const CodeScanArgs& args, int first_row) noexcept {
    typename I::I32 acc[kScanRows][kMoments];
    for (int r = 0; r < kScanRows; ++r) {
        const auto* codes = static_cast<const std::uint8_t*>(args.rows[first_row + r]);
        const auto flip = I::broadcast(0x01010101u * args.flip);
        const auto add = [&](auto word, std::size_t byte) EMBMATH_INLINE_LAMBDA {
            const auto codes = I::bit_and(I::bit_xor(word, flip), I::load(args.mask + byte));
            each_part<parts_of<Op>()>([&]<int Part>() EMBMATH_INLINE_LAMBDA { add_moments<I, Op, moments>(code_part<Op, Part>(codes), acc[r]); });
        };
        for (int i = 0; i < kMoments; ++i) acc[r][i] = I::broadcast(0u);
        std::size_t byte = 0;
        for (; byte + kCodeWord <= args.n_bytes; byte += kCodeWord) add(I::load(codes + byte), byte);
        if (byte < args.n_bytes) add(I::load_part(codes + byte, args.n_bytes - byte), byte);
    }
    store_moments<I, Op, moments>(acc, args, first_row);
}

// Sixteen sums of four lanes fit the registers where those are 512 bits wide and 32; so do eight and the
// moments of four rows.
template <class I>
inline constexpr bool kHasManyRegisters = I::tile(8).queries == 8;

template <class I, class Op, Moments moments>
EMBMATH_INLINE void scan_rows(const CodeScanArgs& args, int row) noexcept {
    int lane = 0;
    if constexpr (kHasManyRegisters<I>) {
        if constexpr (moments != Moments::none) {
            if (args.n_lanes == 1) return scan_registers<I, Op, 1, moments>(args, row, 0, true);
            scan_registers<I, Op, 2, moments>(args, row, 0, true);
            lane = 2;
        }
        for (; lane + 4 <= args.n_lanes; lane += 4) scan_registers<I, Op, 4, Moments::none>(args, row, lane, lane == 0);
        for (; lane + 2 <= args.n_lanes; lane += 2) scan_registers<I, Op, 2, Moments::none>(args, row, lane, lane == 0);
    } else if constexpr (moments != Moments::none) {
        scan_moments<I, Op, moments>(args, row);
    }
    for (; lane < args.n_lanes; ++lane) scan_registers<I, Op, 1, Moments::none>(args, row, lane, lane == 0);
}

template <class I, class Op, Moments moments>
EMBMATH_INLINE void scan_block(const CodeScanArgs& args) noexcept {
    for (int row = 0; row < isa::kLanes; row += kScanRows) scan_rows<I, Op, moments>(args, row);
}

template <class I, class Op>
void scan_codes(const CodeScanArgs& args) noexcept {
    if constexpr (Op::form != CodeScan::bits) {
        if (args.moments != nullptr) {
            return args.counts_top ? scan_block<I, Op, Moments::sums_and_tops>(args) : scan_block<I, Op, Moments::sums>(args);
        }
    }
    scan_block<I, Op, Moments::none>(args);
}

}  // namespace embmath::kernel
