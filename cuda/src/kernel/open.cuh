// A search before anything is found: empty lists, and what decides for each query.
#pragma once

#include "kernel/arguments.cuh"
#include "kernel/shapes.cuh"

namespace embmath::cuda {

struct OpenArgs {
    Lists lists;  // without any where all hits are wanted
    std::uint32_t* is_exact;
    std::int64_t n_queries;
    std::uint32_t is_exact_from_start;
};

__global__ void __launch_bounds__(kOpenThreads) open_lists(const OpenArgs args) {
    const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kOpenThreads + threadIdx.x;
    if (i < args.n_queries) {
        args.is_exact[i] = args.is_exact_from_start;
        if (args.lists.thresholds != nullptr) args.lists.thresholds[i] = 0;
    }
    if (i >= args.n_queries * args.lists.n_splits) return;
    args.lists.counts[i] = 0;
    args.lists.least[i] = 0;
}

struct GateArgs {
    const core::HalfMeasure* queries;
    const core::HalfRange* range;
    core::HalfGate* gates;
    std::uint32_t* is_exact;
    std::int64_t n_queries;
    double product_error;
    Metric metric;
};

// One without a bound is scored canonically from here on.
__global__ void make_gates(const GateArgs args) {
    const std::int64_t query = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (query >= args.n_queries) return;
    const core::HalfGate gate = core::half_gate(args.metric, args.queries[query], args.product_error, *args.range);
    args.gates[query] = gate;
    if (gate.is_bounded == 0) args.is_exact[query] = 1;
}

}  // namespace embmath::cuda
