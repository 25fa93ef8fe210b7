// The kinds of rows that are searched: element types of queries and rows, and what codes they have. A
// new kind is an entry here and one in visit_kind() (launch/kinds.hpp).
#pragma once

#include "core/dtype.hpp"
#include "device/codes.cuh"
#include "device/target.cuh"

namespace embmath::cuda {

template <class D>
struct Floats {
    using Query = core::F32;
    using Row = D;
    using Code = HalfCode;
    // Float16 rows may be codes as they lie; their own exponents serve.
    static constexpr bool is_coded = D::id == Dtype::f16, has_bits = false;
    static __host__ __device__ bool has_integer_scores(Metric) { return false; }
};

template <class D>
struct Bytes {
    using Query = D;
    using Row = D;
    using Code = ByteCode<D>;
    static constexpr bool is_coded = true, has_bits = false;
    static __host__ __device__ bool has_integer_scores(Metric metric) { return metric == Metric::dot || metric == Metric::sqeuclidean; }
};

struct Bits {
    using Query = core::U8;
    using Row = core::U8;
    using Code = BitCode;
    static constexpr bool is_coded = true, has_bits = true;
    static __host__ __device__ bool has_integer_scores(Metric) { return true; }
};

}  // namespace embmath::cuda
