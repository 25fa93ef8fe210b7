// Rows as float16 with a power-of-two scale each, and what their certificate needs. Half a warp a row.
#pragma once

#include "core/dtype.hpp"
#include "device/lanes.cuh"
#include "kernel/arguments.cuh"
#include "kernel/shapes.cuh"

namespace embmath::cuda {

struct RangeArgs {
    core::HalfRange* range;
};

// Before the first row.
__global__ void open_range(const RangeArgs args) {
    if (threadIdx.x == 0) *args.range = {0.0F, 0.0F, 0, 0};
}

struct EncodeArgs {
    Rows rows;
    Plane plane;
    Metric metric;
    bool is_corpus;  // has terms, and counts for the range
};

// The exponent e for which 2^-e `value` lies in [128, 256).
__device__ __forceinline__ int exponent_of(float value) {
    return value > 0.0F && value < HUGE_VALF ? ilogbf(value) - core::kHalfTop : 0;
}

template <class D>
__global__ void __launch_bounds__(kRowThreads) encode(const EncodeArgs args) {
    const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kRowsPerBlock + threadIdx.x / kLanes;
    // Lanes of the last rows stay for the shuffles.
    const bool is_real = row < args.rows.n_rows;
    const typename D::storage* x = args.rows.row<D>(is_real ? row : 0);
    const std::int64_t n_cols = args.rows.n_cols;
    const int lane = lane_of_row();
    double sq_norm = 0.0;
    float top = 0.0F;
    for (std::int64_t col = lane; col < n_cols; col += kLanes) {
        const double value = D::to_f64(x[col]);
        sq_norm = DotTerm::add(sq_norm, value, value);
        const float size = fabsf(D::to_f32(x[col]));
        top = size > top ? size : top;
    }
    sq_norm = tree_sum(sq_norm);
    top = largest(top);
    const int exponent = exponent_of(top);
    const double down = ldexp(1.0, -exponent), up = ldexp(1.0, exponent);
    const bool is_finite = sq_norm < HUGE_VAL;
    std::uint16_t* codes = args.plane.codes + (is_real ? row : 0) * args.plane.ld;
    double sq_residual = 0.0;
    for (std::int64_t col = lane; col < args.plane.ld; col += kLanes) {
        std::uint16_t code = 0;
        if (col < n_cols && is_finite) {
            const double value = D::to_f64(x[col]);
            code = core::encode_f16(static_cast<float>(value * down));
            const double rest = value - up * static_cast<double>(core::decode_f16(code));
            sq_residual += rest * rest;
        }
        if (is_real) codes[col] = code;
    }
    sq_residual = tree_sum(sq_residual);
    if (!is_real || lane != 0) return;
    const core::HalfMeasure measure{sq_norm, sq_residual, exponent};
    args.plane.measures[row] = measure;
    if (!args.is_corpus) return;
    args.plane.terms[row] = core::half_row(args.metric, measure);
    const core::RowState state = core::half_state(args.metric, measure);
    auto* range = reinterpret_cast<unsigned*>(args.plane.range);  // floats >= 0 order like their bits
    if (state == core::RowState::unbounded) atomicMax(range + 2, 1u);
    if (state == core::RowState::excluded) atomicMax(range + 3, 1u);
    if (state != core::RowState::bounded) return;
    const unsigned err = core::bit_cast<unsigned>(args.plane.terms[row].err);
    const unsigned residual = core::bit_cast<unsigned>(core::half_residual(measure));
    if (err > range[0]) atomicMax(range, err);
    if (residual > range[1]) atomicMax(range + 1, residual);
}

}  // namespace embmath::cuda
