// Rows as codes for the matrix unit, and what their certificate needs. Half a warp a row.
#pragma once

#include "device/lanes.cuh"
#include "kernel/arguments.cuh"
#include "kernel/kinds.cuh"
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

// By one lane of a row.
__device__ __forceinline__ void write_measure(const EncodeArgs& args, std::int64_t row, const core::HalfMeasure& measure) {
    if (!args.is_corpus) {
        args.plane.measures[row] = measure;
        return;
    }
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

// The exponent e for which 2^-e `value` lies in [128, 256).
__device__ __forceinline__ int exponent_of(float value) {
    return value > 0.0F && value < HUGE_VALF ? ilogbf(value) - core::kHalfTop : 0;
}

// As float16 with a power-of-two scale each.
template <class D>
__global__ void __launch_bounds__(kRowThreads) encode_halves(const EncodeArgs args) {
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
    auto* codes = reinterpret_cast<std::uint16_t*>(args.plane.codes + (is_real ? row : 0) * args.plane.lines.stride);
    const std::int64_t n_codes = args.plane.lines.n_bytes / 2;
    double sq_residual = 0.0;
    for (std::int64_t col = lane; col < n_codes; col += kLanes) {
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
    if (is_real && lane == 0) write_measure(args, row, {sq_norm, sq_residual, exponent});
}

template <class Kind>
__device__ __forceinline__ auto square(typename Kind::Row::storage value) {
    if constexpr (Kind::has_bits) {
        return __popc(value);
    } else if constexpr (sizeof(value) == 1) {
        return static_cast<int>(value) * static_cast<int>(value);
    } else {
        return Kind::Row::to_f64(value) * Kind::Row::to_f64(value);
    }
}

// Rows that are codes as they are: their lengths, and a copy where they do not lie as codes must.
template <class Kind>
__global__ void __launch_bounds__(kRowThreads) measure_rows(const EncodeArgs args) {
    using Element = typename Kind::Row::storage;
    struct alignas(kChunkBytes) Chunk {
        Element elements[kChunkBytes / sizeof(Element)];
    };
    const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kRowsPerBlock + threadIdx.x / kLanes;
    const bool is_real = row < args.rows.n_rows;
    const Element* x = args.rows.row<typename Kind::Row>(is_real ? row : 0);
    double sq_norm = 0.0;
    if (args.plane.codes == nullptr) {
        const auto* chunks = reinterpret_cast<const Chunk*>(x);
        for (std::int64_t i = lane_of_row(); i < args.plane.lines.n_bytes / kChunkBytes; i += kLanes) {
            const Chunk chunk = chunks[i];
            decltype(square<Kind>(Element{})) sum = 0;
            EMBMATH_UNROLL
            for (const Element element : chunk.elements) sum += square<Kind>(element);
            sq_norm += static_cast<double>(sum);
        }
    } else {
        auto* codes = reinterpret_cast<Element*>(args.plane.codes + (is_real ? row : 0) * args.plane.lines.stride);
        for (std::int64_t col = lane_of_row(); col * static_cast<std::int64_t>(sizeof(Element)) < args.plane.lines.n_bytes; col += kLanes) {
            const Element element = col < args.rows.n_cols ? x[col] : Element{0};
            sq_norm += static_cast<double>(square<Kind>(element));
            if (is_real) codes[col] = element;
        }
    }
    sq_norm = tree_sum(sq_norm);
    if (is_real && lane_of_row() == 0) write_measure(args, row, {sq_norm, 0.0, 0});
}

}  // namespace embmath::cuda
