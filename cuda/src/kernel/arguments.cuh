// What the kernels of a search are given, all of it in the device's memory.
#pragma once

#include "core/half_bounds.hpp"
#include "core/order_key.hpp"
#include "device/target.cuh"
#include "embmath/types.hpp"

namespace embmath::cuda {

// Rows whose elements follow each other, aligned to themselves.
struct Rows {
    const void* data = nullptr;
    std::int64_t n_rows = 0, n_cols = 0;
    std::int64_t row_stride = 0;  // bytes

    template <class D>
    __device__ __forceinline__ const typename D::storage* row(std::int64_t i) const {
        return reinterpret_cast<const typename D::storage*>(static_cast<const unsigned char*>(data) + i * row_stride);
    }
};

// What the matrix unit multiplies: lines of codes, whole chunks of them, zero beyond the row's columns.
struct Lines {
    const unsigned char* data = nullptr;
    std::int64_t stride = 0;  // bytes
    std::int64_t n = 0;
    std::int32_t n_bytes = 0;  // of a line
};

// Rows as codes, with what is known of each.
struct Plane {
    unsigned char* codes = nullptr;        // where they are made; null: rows are codes as they lie
    Lines lines;
    core::HalfMeasure* measures = nullptr; // of queries
    core::HalfRow* terms = nullptr;        // of corpus rows
    core::HalfRange* range = nullptr;      // one
};

// Which rows may be returned.
struct Permission {
    const std::uint8_t* mask = nullptr;  // per row; null: all
    std::int64_t mask_stride = 0;        // from one query's mask to the next; 0: one for all
    std::int64_t self = -1;              // the row that query 0 may not return; -1: none is excluded

    __device__ __forceinline__ bool allows(std::int64_t query, std::int64_t row) const {
        if (self >= 0 && row == self + query) return false;
        return mask == nullptr || mask[query * mask_stride + row] != 0;
    }
};

// Which scores are hits.
struct Threshold {
    double least;     // oriented: larger is better
    bool is_given;    // then NaN is none

    __device__ __forceinline__ bool is_hit(double score) const { return score == score ? score >= least : !is_given; }
};

// Candidates of all queries. A search is cut into `n_splits` ranges of rows, each with lists of its own.
struct Lists {
    core::Key* keys = nullptr;            // [query][split][capacity]
    std::uint32_t* counts = nullptr;      // [query][split]
    core::Key* least = nullptr;           // [query][split]: keys below it need not be appended
    std::uint32_t* thresholds = nullptr;  // [query]: order_bits of a bound that the k best reach
    std::uint32_t* is_exact = nullptr;    // [query]: 1: its keys are made from canonical scores
    core::HalfGate* gates = nullptr;      // [query]; null: bounds are scores
    std::int64_t n_splits = 0;
    std::uint32_t capacity = 0, k = 0;

    __device__ __forceinline__ std::int64_t list(std::int64_t query, std::int64_t split) const { return query * n_splits + split; }
    __device__ __forceinline__ core::Key* keys_of(std::int64_t list) const { return keys + list * capacity; }
};

}  // namespace embmath::cuda
