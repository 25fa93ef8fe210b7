// From numbers of dtypes and metrics to the kinds of rows that kernels are made for. The one switch.
#pragma once

#include "embmath/cuda.h"
#include "kernel/kinds.cuh"
#include "launch/device.hpp"

namespace embmath::cuda {

inline bool is_float(std::int32_t dtype) { return dtype >= EMBMATH_F16 && dtype <= EMBMATH_F32; }

// Calls `visit` with the traits of a floating dtype.
template <class Visit>
decltype(auto) visit_floats(Dtype dtype, const Visit& visit) {
    switch (dtype) {
        case Dtype::f16: return visit(core::F16{});
        case Dtype::bf16: return visit(core::BF16{});
        default: return visit(core::F32{});
    }
}

// Calls `visit` with all of them; the first status that is not OK.
template <class Visit>
embmath_cuda_status each_float(const Visit& visit) {
    return first_failure({visit(core::F16{}), visit(core::BF16{}), visit(core::F32{})});
}

template <class Visit>
embmath_cuda_status each_kind(const Visit& visit) {
    return first_failure({visit(Bits{}), visit(Bytes<core::I8>{}), visit(Bytes<core::U8>{}),
                          each_float([&](auto traits) { return visit(Floats<decltype(traits)>{}); })});
}

// Calls `visit` with the kind of rows of a dtype, searched by a metric.
template <class Visit>
decltype(auto) visit_kind(std::int32_t dtype, Metric metric, const Visit& visit) {
    if (metric == Metric::hamming) return visit(Bits{});
    if (dtype == EMBMATH_I8) return visit(Bytes<core::I8>{});
    if (dtype == EMBMATH_U8) return visit(Bytes<core::U8>{});
    return visit_floats(static_cast<Dtype>(dtype), [&](auto traits) -> decltype(auto) { return visit(Floats<decltype(traits)>{}); });
}

}  // namespace embmath::cuda
