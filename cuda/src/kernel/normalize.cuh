// Rows at unit length: half a warp a row, the second pass out of the nearest cache.
#pragma once

#include "core/dtype.hpp"
#include "device/lanes.cuh"
#include "kernel/arguments.cuh"
#include "kernel/shapes.cuh"

namespace embmath::cuda {

struct NormalizeArgs {
    Rows rows;
    double eps;
    void* out;  // rows one after another
};

// One rounding from float64.
template <class D>
__device__ __forceinline__ typename D::storage narrowed(double value) {
    if constexpr (D::id == Dtype::f32) {
        return __double2float_rn(value);
    } else {
        return D::from_f32(core::narrow_to_odd(value));
    }
}

template <class D>
__global__ void __launch_bounds__(kRowThreads) normalize(const NormalizeArgs args) {
    const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kRowsPerBlock + threadIdx.x / kLanes;
    const bool is_real = row < args.rows.n_rows;
    const typename D::storage* x = args.rows.row<D>(is_real ? row : 0);
    double sq_norm = 0.0;
    for (std::int64_t col = lane_of_row(); col < args.rows.n_cols; col += kLanes) {
        const double value = D::to_f64(x[col]);
        sq_norm = DotTerm::add(sq_norm, value, value);
    }
    sq_norm = tree_sum(sq_norm);
    if (!is_real) return;
    const double norm = __dsqrt_rn(sq_norm), length = norm < args.eps ? args.eps : norm;
    const double factor = length == 0.0 ? 0.0 : __ddiv_rn(1.0, length);
    auto* out = static_cast<typename D::storage*>(args.out) + row * args.rows.n_cols;
    for (std::int64_t col = lane_of_row(); col < args.rows.n_cols; col += kLanes) {
        out[col] = narrowed<D>(__dmul_rn(D::to_f64(x[col]), factor));
    }
}

}  // namespace embmath::cuda
