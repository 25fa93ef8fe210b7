// A plane of float16 codes as one piece of memory, and filling it.
#pragma once

#include "embmath/cuda.h"
#include "kernel/arguments.cuh"
#include "kernel/shapes.cuh"
#include "launch/carver.hpp"

namespace embmath::cuda {

inline std::int64_t padded_cols(std::int64_t n_cols) { return (n_cols + kPlaneCols - 1) / kPlaneCols * kPlaneCols; }

inline Plane carve_plane(Carver& carver, std::int64_t n_rows, std::int64_t n_cols, bool is_corpus) {
    Plane plane;
    plane.ld = padded_cols(n_cols);
    plane.codes = carver.take<std::uint16_t>(n_rows * plane.ld);
    plane.measures = carver.take<core::HalfMeasure>(n_rows);
    if (!is_corpus) return plane;
    plane.terms = carver.take<core::HalfRow>(n_rows);
    plane.range = carver.take<core::HalfRange>(1);
    return plane;
}

Rows rows_of(const embmath_rows& rows);
Rows part_of(const Rows& rows, std::int64_t first, std::int64_t n);
embmath_cuda_status check_rows(const embmath_rows& rows);

void encode_rows(const Rows& rows, Dtype dtype, const Plane& plane, Metric metric, bool is_corpus, Stream stream);
void reset_range(const Plane& plane, Stream stream);

// Calls `visit` with the traits of a dtype that kernels read. The one switch over them.
template <class Visit>
void visit_rows(Dtype dtype, const Visit& visit) {
    switch (dtype) {
        case Dtype::f16: return visit(core::F16{});
        case Dtype::bf16: return visit(core::BF16{});
        default: return visit(core::F32{});
    }
}

inline unsigned blocks_for(std::int64_t n, std::int64_t each) { return static_cast<unsigned>((n + each - 1) / each); }

}  // namespace embmath::cuda
