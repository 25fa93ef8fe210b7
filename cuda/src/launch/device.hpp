// What a device is like, and making it the current one for the length of a call.
#pragma once

#include <cstddef>
#include <initializer_list>

#include "device/target.cuh"
#include "embmath/cuda.h"

namespace embmath::cuda {

#if defined(__CUDACC__)

class DeviceGuard {
public:
    explicit DeviceGuard(int device) {
        status_ = cudaGetDevice(&before_);
        if (status_ == cudaSuccess && before_ != device) status_ = cudaSetDevice(device);
        is_changed_ = status_ == cudaSuccess && before_ != device;
    }
    ~DeviceGuard() {
        if (is_changed_) cudaSetDevice(before_);
    }
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;

    embmath_cuda_status status() const { return static_cast<embmath_cuda_status>(status_); }
    // Of the launches since the last look.
    embmath_cuda_status launched() const { return static_cast<embmath_cuda_status>(cudaGetLastError()); }

private:
    cudaError_t status_;
    int before_ = 0;
    bool is_changed_ = false;
};

inline int multiprocessors(int device) {
    int count = 0;
    return cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) == cudaSuccess && count > 0 ? count : 1;
}

// That a block may ask for.
inline std::size_t shared_bytes(int device) {
    int bytes = 0;
    return cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess ? static_cast<std::size_t>(bytes) : 0;
}

// Whether float64 is worth a half of float32 (sm_80, 90, 100), not a 64th (sm_86, 89, 120).
inline bool has_fast_float64(int device) {
    int ratio = 0;
    return cudaDeviceGetAttribute(&ratio, cudaDevAttrSingleToDoublePrecisionPerfRatio, device) == cudaSuccess && ratio <= 4;
}

// Rows that give the first thresholds, at least.
inline constexpr std::int64_t kLeastSeeds = 16384;

// Loads kernels now, not when they are first launched, which a graph that is being captured would not survive.
template <class... Kernels>
embmath_cuda_status load(Kernels*... kernels) {
    cudaFuncAttributes attributes;
    for (const cudaError_t status : {cudaFuncGetAttributes(&attributes, kernels)...}) {
        if (status != cudaSuccess) return static_cast<embmath_cuda_status>(status);
    }
    return EMBMATH_CUDA_OK;
}

template <class Kernel>
embmath_cuda_status allow_shared(Kernel* kernel, std::size_t bytes) {
    const cudaError_t status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
    return status == cudaSuccess ? load(kernel) : static_cast<embmath_cuda_status>(status);
}

#else

class DeviceGuard {
public:
    explicit DeviceGuard(int) {}
    embmath_cuda_status status() const { return EMBMATH_CUDA_OK; }
    embmath_cuda_status launched() const { return EMBMATH_CUDA_OK; }
};

inline int multiprocessors(int) { return 2; }
inline std::size_t shared_bytes(int) { return std::size_t{227} << 10; }
inline bool has_fast_float64(int) { return true; }
inline constexpr std::int64_t kLeastSeeds = 512;  // so that tests of few rows have some

template <class Kernel>
embmath_cuda_status allow_shared(Kernel*, std::size_t) {
    return EMBMATH_CUDA_OK;
}

template <class... Kernels>
embmath_cuda_status load(Kernels*...) {
    return EMBMATH_CUDA_OK;
}

#endif

// The first status that is not OK.
inline embmath_cuda_status first_failure(std::initializer_list<embmath_cuda_status> all) {
    for (const embmath_cuda_status status : all) {
        if (status != EMBMATH_CUDA_OK) return status;
    }
    return EMBMATH_CUDA_OK;
}

}  // namespace embmath::cuda
