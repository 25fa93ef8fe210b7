// Blocks of 16 coordinates into bit planes of their grid, and back. Numbers are rounded after every single
// operation, or exact: the same codes and the same numbers on every ISA.
#pragma once

#include "core/compiler.hpp"
#include "kernel/load.hpp"
#include "kernel/table.hpp"

namespace embmath::kernel {

// Calls `visit` with the width as a constant.
template <class Visit>
EMBMATH_INLINE void visit_width(int width, const Visit& visit) noexcept {
    switch (width) {
        case 1: return visit.template operator()<1>();
        case 2: return visit.template operator()<2>();
        case 3: return visit.template operator()<3>();
        case 4: return visit.template operator()<4>();
        case 5: return visit.template operator()<5>();
        case 6: return visit.template operator()<6>();
        case 7: return visit.template operator()<7>();
        default: return visit.template operator()<8>();
    }
}

// Sums over the coordinates of 16 rows, a row per lane.
template <class I>
struct GridSums {
    typename I::F64 sq_grid, along_grid, along_row, product;

    EMBMATH_INLINE explicit GridSums() noexcept
        : sq_grid(I::broadcast(0.0)), along_grid(sq_grid), along_row(sq_grid), product(sq_grid) {}

    EMBMATH_INLINE void add(typename I::F32 y, float direction) noexcept {
        along_row = I::fma(I::widen(y), I::broadcast(static_cast<double>(direction)), along_row);
    }
    EMBMATH_INLINE void add(typename I::F32 y, typename I::F32 point, float direction) noexcept {
        const auto wide = I::widen(point);
        sq_grid = I::fma(wide, wide, sq_grid);
        along_grid = I::fma(wide, I::broadcast(static_cast<double>(direction)), along_grid);
        product = I::fma(wide, I::widen(y), product);
        add(y, direction);
    }
};

// 16 rows' codes of a block of `n` coordinates.
template <class I, int W>
EMBMATH_INLINE void encode_block(const RotatedEncodeArgs& args, std::size_t first, int n, float step, typename I::F32 shrink,
                                 std::uint8_t* codes, GridSums<I>& sums) noexcept {
    constexpr float kHalf = static_cast<float>(1 << (W - 1)), kTop = 2.0F * kHalf - 1.0F;
    const auto half = I::broadcast(kHalf), zero = I::broadcast(0.0F), top = I::broadcast(kTop);
    const auto middle = I::broadcast(0.5F - kHalf), width = I::broadcast(step), by = I::broadcast(1.0F / step);
    const auto one = I::broadcast(std::uint32_t{1});
    typename I::I32 planes[W];
    for (int p = 0; p < W; ++p) planes[p] = I::broadcast(std::uint32_t{0});
    for (int l = n - 1; l >= 0; --l) {
        const auto y = I::load(args.y + (first + l) * args.ld);
        const auto place = I::add(I::mul(I::mul(y, shrink), by), half);
        auto code = I::truncate(I::min(I::max(place, zero), top));
        sums.add(y, I::mul(I::add(I::to_f32(code), middle), width), args.direction[first + l]);
        EMBMATH_UNROLL
        for (int p = 0; p < W; ++p) {
            planes[p] = I::add(I::add(planes[p], planes[p]), I::bit_and(code, one));
            code = I::template shift_right<1>(code);
        }
    }
    for (int p = 0; p < W; ++p) {
        Buffer<std::uint32_t> words;
        I::store(words.lane, planes[p]);
        for (int row = 0; row < args.n_rows; ++row) {
            const auto word = static_cast<std::uint16_t>(words.lane[row]);
            __builtin_memcpy(codes + row * args.row_bytes + 2 * p, &word, sizeof(word));
        }
    }
}

// The grid is made for coded coordinates of length 1.
template <class I>
EMBMATH_INLINE typename I::F32 to_unit_length(const RotatedEncodeArgs& args) noexcept {
    auto sq_norm = I::broadcast(0.0);
    for (std::size_t j = 0; j < args.n_coded; ++j) {
        const auto y = I::widen(I::load(args.y + j * args.ld));
        sq_norm = I::fma(y, y, sq_norm);
    }
    Buffer<double> sums;
    Buffer<float> factors;
    I::store(sums.lane, sq_norm);
    for (int l = 0; l < kLanes; ++l) {
        factors.lane[l] = sums.lane[l] > 0.0 ? static_cast<float>(1.0 / __builtin_sqrt(sums.lane[l])) : 0.0F;
    }
    return I::load(factors.lane);
}

template <class I>
void encode_rotated(const RotatedEncodeArgs& args) noexcept {
    const auto shrink = to_unit_length<I>(args);
    GridSums<I> sums;
    std::uint8_t* codes = args.codes;
    const std::uint8_t* widths = args.widths;
    const float* step = args.steps;
    for (std::size_t first = 0; first < args.n_coded; first += kLanes, ++step) {
        const std::size_t left = args.n_coded - first;
        const int n = left < kLanes ? static_cast<int>(left) : kLanes, width = *widths++;
        visit_width(width, [&]<int W>() EMBMATH_INLINE_LAMBDA { encode_block<I, W>(args, first, n, *step, shrink, codes, sums); });
        codes += 2 * width;
    }
    for (std::size_t j = args.n_coded; j < args.n_coords; ++j) sums.add(I::load(args.y + j * args.ld), args.direction[j]);
    I::store(args.sq_grid, sums.sq_grid);
    I::store(args.along_grid, sums.along_grid);
    I::store(args.along_row, sums.along_row);
    I::store(args.product, sums.product);
}

// A row's coordinates, one per lane. Bit l of a plane, left where it stands, is 2^l: times 2^(p - l) it is
// what it counts in plane p, exactly.
template <class I>
void decode_rotated(const RotatedDecodeArgs& args) noexcept {
    Buffer<std::uint32_t> positions;
    Buffer<float> inverses;
    for (std::uint32_t l = 0; l < kLanes; ++l) {
        positions.lane[l] = 1u << l;
        inverses.lane[l] = 1.0F / static_cast<float>(1u << l);
    }
    const auto position = I::load(positions.lane), weight = I::load(inverses.lane);
    const auto scale = I::broadcast(args.scale), offset = I::broadcast(args.offset);
    const std::uint8_t* codes = args.codes;
    const std::uint8_t* widths = args.widths;
    const float* step = args.steps;
    for (std::size_t first = 0; first < args.n_coded; first += kLanes, ++step) {
        const int width = *widths++;
        auto point = I::broadcast(0.5F - static_cast<float>(1 << (width - 1)));
        auto counts = weight;
        for (int p = 0; p < width; ++p, codes += 2) {
            std::uint16_t word;
            __builtin_memcpy(&word, codes, sizeof(word));
            const auto bits = I::to_f32(I::bit_and(I::broadcast(std::uint32_t{word}), position));
            point = I::fma(bits, counts, point);
            counts = I::add(counts, counts);
        }
        const auto along = I::mul(offset, I::load(args.direction + first));
        const auto value = I::add(I::mul(I::mul(point, I::broadcast(*step)), scale), along);
        if (first + kLanes <= args.n_coded) {
            I::store(args.out + first, value);
        } else {
            Buffer<float> tail;
            I::store(tail.lane, value);
            __builtin_memcpy(args.out + first, tail.lane, (args.n_coded - first) * sizeof(float));
        }
    }
}

}  // namespace embmath::kernel
