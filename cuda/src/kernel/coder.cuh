// Pieces of rows into scalar codes, and codes into the bytes that hold them.
#pragma once

#include "core/code_grid.hpp"
#include "device/pieces.cuh"
#include "device/quotient.cuh"
#include "kernel/walk.cuh"

namespace embmath::cuda {

enum class CodeBytes : int { one, interleaved, split };

struct Coder {
    CodeFormat format;
    core::PlaceRule rule;
    CodeBytes bytes;
    std::int64_t row_bytes;
    std::uint8_t* out;
};

// A code for each number of a piece, in a byte each.
template <class D>
struct PieceCodes {
    static constexpr int kWords = Piece<D>::kCount / 4;
    std::uint32_t words[kWords];
};

__device__ __forceinline__ std::uint32_t join_bytes(const int (&code)[4]) {
    const auto low = __byte_perm(static_cast<unsigned>(code[0]), static_cast<unsigned>(code[1]), 0x0040);
    const auto high = __byte_perm(static_cast<unsigned>(code[2]), static_cast<unsigned>(code[3]), 0x0040);
    return __byte_perm(low, high, 0x5410);
}

// `quotient(i, x)`: of x in column i of the piece. Codes beyond the row are 0.
template <class D, bool is_whole, class QuotientOf>
__device__ __forceinline__ PieceCodes<D> codes_of(const core::PlaceRule& rule, const Piece<D>& piece, int left,
                                                  const QuotientOf& quotient) {
    const float half = rule.to_nearest ? 0.5F : 0.0F;
    const std::uint32_t flip = rule.bias == 0 ? 0u : 0x80808080u;  // minus 128
    PieceCodes<D> codes;
    EMBMATH_UNROLL
    for (int w = 0; w < PieceCodes<D>::kWords; ++w) {
        int code[4];
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) {
            const int col = 4 * w + i;
            const float place = __fmaf_rn(quotient(col, piece[col]), rule.factor, rule.shift);
            const float inside = fminf(fmaxf(place, rule.low), rule.high);
            // Half a step outwards and cut off; a sum that rounded up could pass a whole number.
            code[i] = static_cast<int>(__fadd_rz(inside, copysignf(half, inside)));
            if constexpr (!is_whole) code[i] = col < left ? code[i] : 0;
        }
        codes.words[w] = join_bytes(code) ^ flip;
    }
    return codes;
}

// Neighbours share a byte.
__device__ __forceinline__ std::uint16_t join_nibbles(std::uint32_t word) {
    const std::uint32_t even = (word | word >> 4) & 0x00ff00ffu;
    return static_cast<std::uint16_t>(even | even >> 8);
}

template <class D, bool is_whole>
__device__ __forceinline__ void store_codes(std::uint8_t* p, const PieceCodes<D>& codes, int n) {
    if constexpr (PieceCodes<D>::kWords == 1) {
        store_bytes<is_whole>(p, codes.words[0], n);
    } else {
        store_bytes<is_whole>(p, codes.words[0] | static_cast<std::uint64_t>(codes.words[1]) << 32, n);
    }
}

template <class D, bool is_whole>
__device__ __forceinline__ void store_nibbles(std::uint8_t* p, const PieceCodes<D>& codes, int n) {
    if constexpr (PieceCodes<D>::kWords == 1) {
        store_bytes<is_whole>(p, join_nibbles(codes.words[0]), n);
    } else {
        const std::uint32_t low = join_nibbles(codes.words[0]), high = join_nibbles(codes.words[1]);
        store_bytes<is_whole>(p, low | high << 16, n);
    }
}

// The codes of `n` columns from `col` on, where they share bytes among themselves at most.
template <class D, bool is_whole>
__device__ __forceinline__ void store_piece(const Coder& coder, std::int64_t row, int col, const PieceCodes<D>& codes, int n) {
    std::uint8_t* out = coder.out + row * coder.row_bytes;
    if (coder.bytes == CodeBytes::interleaved) {
        store_nibbles<D, is_whole>(out + col / 2, codes, (n + 1) / 2);
    } else {
        store_codes<D, is_whole>(out + col, codes, n);
    }
}

// The codes of `n` columns from `col` on and of as many in the other half of the row.
template <class D, bool is_whole>
__device__ __forceinline__ void store_halves(const Coder& coder, std::int64_t row, int col, PieceCodes<D> codes,
                                             const PieceCodes<D>& others, int n) {
    EMBMATH_UNROLL
    for (int w = 0; w < PieceCodes<D>::kWords; ++w) codes.words[w] = codes.words[w] << 4 | others.words[w];
    store_codes<D, is_whole>(coder.out + row * coder.row_bytes + col, codes, n);
}

}  // namespace embmath::cuda
