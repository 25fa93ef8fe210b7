// Rows times orthonormal axes in float64. Every factor is a float32, so every product is exact, fused or
// not, and each sum is one chain in ascending column: the same bits on every ISA.
#pragma once

#include "core/compiler.hpp"
#include "isa/concept.hpp"
#include "kernel/table.hpp"

namespace embmath::kernel {

template <class I>
void center(const CenterArgs& args) noexcept {
    auto sq_norm = I::broadcast(0.0);
    for (std::size_t col = 0; col < args.n_cols; ++col) {
        auto value = I::widen(I::load(args.block + col * isa::kLanes));
        if (args.mean != nullptr) value = I::widen(I::narrow(I::sub(value, I::broadcast(args.mean[col]))));
        sq_norm = I::fma(value, value, sq_norm);
        I::store(args.out + col * isa::kLanes, value);
    }
    I::store(args.sq_norm, sq_norm);
}

template <class I, int A, int B>
EMBMATH_INLINE void rotate_registers(const RotateArgs& args, const double* axes, std::size_t block, float* y) noexcept {
    const std::size_t stride = args.n_cols * isa::kLanes;
    const double* rows = args.blocks + block * stride;
    typename I::F64 sums[A][B];
    EMBMATH_UNROLL
    for (int a = 0; a < A; ++a) {
        EMBMATH_UNROLL
        for (int b = 0; b < B; ++b) sums[a][b] = I::broadcast(0.0);
    }
    for (std::size_t col = 0; col < args.n_cols; ++col) {
        typename I::F64 values[B];
        EMBMATH_UNROLL
        for (int b = 0; b < B; ++b) values[b] = I::load(rows + b * stride + col * isa::kLanes);
        EMBMATH_UNROLL
        for (int a = 0; a < A; ++a) {
            const auto axis = I::broadcast(axes[col * kAxisGroup + a]);
            EMBMATH_UNROLL
            for (int b = 0; b < B; ++b) sums[a][b] = I::fma(axis, values[b], sums[a][b]);
        }
    }
    EMBMATH_UNROLL
    for (int a = 0; a < A; ++a) {
        EMBMATH_UNROLL
        for (int b = 0; b < B; ++b) I::store(y + a * args.ld + (block + b) * isa::kLanes, I::narrow(sums[a][b]));
    }
}

template <class I>
void rotate(const RotateArgs& args) noexcept {
    constexpr int A = I::canonical_rows < kAxisGroup ? I::canonical_rows : kAxisGroup;
    constexpr int B = I::canonical_rows < kAxisGroup ? 1 : 2;
    for (std::size_t group = 0; group < args.n_groups; ++group) {
        for (int first = 0; first < kAxisGroup; first += A) {
            const double* axes = args.axes + group * args.n_cols * kAxisGroup + first;
            float* y = args.y + (group * kAxisGroup + first) * args.ld;
            std::size_t block = 0;
            for (; block + B <= args.n_blocks; block += B) rotate_registers<I, A, B>(args, axes, block, y);
            for (; block < args.n_blocks; ++block) rotate_registers<I, A, 1>(args, axes, block, y);
        }
    }
}

}  // namespace embmath::kernel
