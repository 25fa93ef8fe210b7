#include "launch/prepare.hpp"

#include "launch/device.hpp"

using namespace embmath::cuda;

extern "C" {

embmath_cuda_status embmath_cuda_prepare(int device) {
    const DeviceGuard guard(device);
    if (guard.status() != EMBMATH_CUDA_OK) return guard.status();
    return first_failure({prepare_planes(), prepare_batches(), prepare_searches(device), prepare_ranges(device), prepare_codes()});
}

}  // extern "C"
