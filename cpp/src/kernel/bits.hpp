// Codes of less than a byte: sign bits, most significant first, and nibbles.
#pragma once

#include "core/compiler.hpp"
#include "kernel/decode.hpp"
#include "kernel/load.hpp"
#include "kernel/table.hpp"

namespace embmath::kernel {

inline constexpr std::uint64_t kEachByte = 0x0101010101010101u, kBitOfByte = 0x0102040810204080u;

// Reverses the bits of each byte: lane 0 becomes the most significant.
EMBMATH_INLINE std::uint64_t reverse_in_bytes(std::uint64_t v) noexcept {
    v = (v >> 1 & 0x5555555555555555u) | (v & 0x5555555555555555u) << 1;
    v = (v >> 2 & 0x3333333333333333u) | (v & 0x3333333333333333u) << 2;
    return (v >> 4 & 0x0f0f0f0f0f0f0f0fu) | (v & 0x0f0f0f0f0f0f0f0fu) << 4;
}

// Lanes above the threshold. `below` is the largest float32 not above it: the same for float32 elements.
template <class I, class D>
EMBMATH_INLINE std::uint64_t lanes_above(const typename D::storage* p, const BitArgs& args) noexcept {
    if constexpr (D::id == Dtype::f64) {
        return ~I::not_less(I::broadcast(args.threshold), I::load(p)) & 0xffffu;
    } else {
        return ~I::not_less(I::broadcast(args.below), load_f32<I, D>(p)) & 0xffffu;
    }
}

template <class I, class D>
void pack_bits(const BitArgs& args) noexcept {
    constexpr std::size_t kGroup = 64;
    const auto* x = static_cast<const typename D::storage*>(args.row);
    const auto write = [&](std::size_t col, std::uint64_t bits, std::size_t n_bytes) EMBMATH_INLINE_LAMBDA {
        bits = reverse_in_bytes(bits) ^ kEachByte * args.flip;
        for (std::size_t i = 0; i < n_bytes; ++i) args.out[col / 8 + i] = static_cast<std::uint8_t>(bits >> 8 * i);
    };
    std::size_t col = 0;
    for (; col + kGroup <= args.n_cols; col += kGroup) {
        std::uint64_t bits = 0;
        EMBMATH_UNROLL
        for (std::size_t l = 0; l < kGroup; l += kLanes) {
            __builtin_prefetch(reinterpret_cast<const char*>(x + col + l) + args.ahead, 0, 2);
            bits |= lanes_above<I, D>(x + col + l, args) << l;
        }
        write(col, bits, kGroup / 8);
    }
    if (col == args.n_cols) return;
    std::uint64_t bits = 0;
    for (std::size_t first = col; first < args.n_cols; first += kLanes) {
        const std::size_t left = args.n_cols - first, n = left < kLanes ? left : kLanes;
        const std::uint64_t valid = (std::uint64_t{1} << n) - 1;
        bits |= (lanes_above<I, D>(copy_tail(x + first, n).lane, args) & valid) << (first - col);
    }
    write(col, bits, (args.n_cols - col + 7) / 8);
}

// Bits as bytes 0 and 1, eight at once: every bit is added to 0x7f where it stands and carries to the
// top of its byte.
template <class I>
void unpack_bit_bytes(const std::uint8_t* codes, std::size_t n_cols, std::uint8_t flip, void* out) noexcept {
    auto* y = static_cast<std::uint8_t*>(out);
    const auto bytes_of = [&](std::size_t col) EMBMATH_INLINE_LAMBDA {
        const std::uint64_t bits = kEachByte * static_cast<std::uint8_t>(codes[col / 8] ^ flip) & kBitOfByte;
        return (bits + kEachByte * 0x7fu) >> 7 & kEachByte;
    };
    std::size_t col = 0;
    if constexpr (requires { I::store_bits(y, std::uint64_t{}); }) {
        for (; col + 64 <= n_cols; col += 64) {
            std::uint64_t bits;
            __builtin_memcpy(&bits, codes + col / 8, sizeof(bits));
            I::store_bits(y + col, reverse_in_bytes(bits ^ kEachByte * flip));
        }
    }
    for (; col + 8 <= n_cols; col += 8) {
        const std::uint64_t bytes = bytes_of(col);
        __builtin_memcpy(y + col, &bytes, 8);
    }
    if (col == n_cols) return;
    const std::uint64_t bytes = bytes_of(col);
    __builtin_memcpy(y + col, &bytes, n_cols - col);
}

// Bits as the signs -1 and 1.
template <class I, class D>
void unpack_bits(const std::uint8_t* codes, std::size_t n_cols, std::uint8_t flip, void* out) noexcept {
    Buffer<std::uint32_t> positions;
    for (std::uint32_t l = 0; l < kLanes; ++l) positions.lane[l] = 0x80u >> l % 8 << l / 8 * 8;
    const auto position = I::load(positions.lane);
    const auto bits_of = [&](std::size_t col, std::size_t n) EMBMATH_INLINE_LAMBDA {
        std::uint32_t word = codes[col / 8] ^ flip;
        if (n > 8) word |= static_cast<std::uint32_t>(codes[col / 8 + 1] ^ flip) << 8;
        return I::popcount(I::bit_and(I::broadcast(word), position));
    };
    const auto two = I::broadcast(2.0F), one = I::broadcast(1.0F);
    const auto store = [&](typename D::storage* p, typename I::I32 bits) EMBMATH_INLINE_LAMBDA {
        store_rounded<I, D>(p, I::widen(I::sub(I::mul(I::to_f32(bits), two), one)));
    };
    write_row(static_cast<typename D::storage*>(out), n_cols, bits_of, store);
}

// Plain loops: compilers turn them into the ISA's own shuffles. A pair of neighbours is one 16-bit word.
template <class I>
void pack_nibbles(const std::uint8_t* codes, std::size_t n_cols, NibbleLayout layout, std::uint8_t* out) noexcept {
    const std::size_t pairs = n_cols / 2;
    if (layout == NibbleLayout::split) {
        for (std::size_t i = 0; i < pairs; ++i) out[i] = static_cast<std::uint8_t>(codes[i] << 4 | codes[i + pairs]);
        return;
    }
    for (std::size_t i = 0; i < pairs; ++i) {
        std::uint16_t pair;
        __builtin_memcpy(&pair, codes + 2 * i, 2);
        out[i] = static_cast<std::uint8_t>(pair | pair >> 4);
    }
    if (n_cols % 2 != 0) out[pairs] = codes[n_cols - 1];
}

template <class I>
void unpack_nibbles(const std::uint8_t* codes, std::size_t n_cols, NibbleLayout layout, std::uint8_t* out) noexcept {
    const std::size_t pairs = n_cols / 2;
    if (layout == NibbleLayout::split) {
        for (std::size_t i = 0; i < pairs; ++i) out[i] = codes[i] >> 4;
        for (std::size_t i = 0; i < pairs; ++i) out[i + pairs] = codes[i] & 15;
        return;
    }
    for (std::size_t i = 0; i < pairs; ++i) {
        const auto pair = static_cast<std::uint16_t>((codes[i] & 15) | (codes[i] & 0xf0) << 4);
        __builtin_memcpy(out + 2 * i, &pair, 2);
    }
    if (n_cols % 2 != 0) out[n_cols - 1] = codes[pairs] & 15;
}

}  // namespace embmath::kernel
