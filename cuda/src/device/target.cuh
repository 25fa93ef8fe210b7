// The border between a GPU and the host: everything else is plain CUDA C++. Compiled by a host
// compiler, the same kernels run in the emulator, thread by thread (tests/cuda).
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)

#include <cuda_runtime.h>

namespace embmath::cuda {

using Stream = cudaStream_t;

// A kernel's shared memory: all of it dynamic, typed by the kernel.
__device__ __forceinline__ unsigned char* shared_memory() {
    extern __shared__ __align__(128) unsigned char embmath_shared[];
    return embmath_shared;
}

struct Grid {
    unsigned blocks_x, blocks_y, threads;
    std::size_t shared_bytes;
};

template <class Args>
void launch(void (*kernel)(Args), const Grid& grid, Stream stream, const Args& args) {
    kernel<<<dim3(grid.blocks_x, grid.blocks_y), grid.threads, grid.shared_bytes, stream>>>(args);
}

}  // namespace embmath::cuda

#else

#include "emulator/emulator.hpp"

#endif
