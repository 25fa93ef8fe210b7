// Loads the kernels that each file launches, and allows them the shared memory that they need.
#pragma once

#include "embmath/cuda.h"

namespace embmath::cuda {

embmath_cuda_status prepare_planes();
embmath_cuda_status prepare_batches();
embmath_cuda_status prepare_searches(int device);
embmath_cuda_status prepare_ranges(int device);
embmath_cuda_status prepare_codes();

}  // namespace embmath::cuda
