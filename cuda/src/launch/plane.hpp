// Codes of rows and what is known of each, as one piece of memory; and filling it.
#pragma once

#include "embmath/cuda.h"
#include "kernel/arguments.cuh"
#include "kernel/kinds.cuh"
#include "kernel/shapes.cuh"
#include "launch/carver.hpp"

namespace embmath::cuda {

// Bytes of a line of codes.
std::int32_t line_bytes(const embmath_rows& rows);

// Whether rows lie as lines of codes must: elements that are codes, whole and aligned chunks of them.
bool is_coded(const embmath_rows& rows, Metric metric);

// For `n` of the rows. `may_borrow`: codes that lie there already are not made again.
Plane carve_plane(Carver& carver, const embmath_rows& rows, std::int64_t n, Metric metric, bool may_borrow, bool is_corpus);

Rows rows_of(const embmath_rows& rows);
Rows part_of(const Rows& rows, std::int64_t first, std::int64_t n);
// Rows and a metric that belongs to them.
embmath_cuda_status check_rows(const embmath_rows& rows);
embmath_cuda_status check_metric(const embmath_rows& rows, std::int32_t metric);

void encode_rows(const Rows& rows, std::int32_t dtype, const Plane& plane, Metric metric, bool is_corpus, Stream stream);
void reset_range(const Plane& plane, Stream stream);

inline unsigned blocks_for(std::int64_t n, std::int64_t each) { return static_cast<unsigned>((n + each - 1) / each); }

}  // namespace embmath::cuda
