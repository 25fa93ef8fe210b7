// The few instructions that CUDA C++ has no words for: asynchronous copies and matrix fragments (products:
// device/codes.cuh). sm_80 and later.
#pragma once

#include "device/target.cuh"

namespace embmath::cuda {

// Nothing read from memory before is remembered in registers.
__device__ __forceinline__ void keep_in_memory() {
#if defined(__CUDACC__)
    asm volatile("" ::: "memory");
#endif
}

// 16 bytes to shared memory, of which the last 16 - valid become zero.
__device__ __forceinline__ void copy_async_16(void* shared, const void* global, unsigned valid) {
#if defined(__CUDACC__)
    const auto address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global), "r"(valid) : "memory");
#else
    emulator::copy_later(shared, global, 16, valid);
#endif
}

__device__ __forceinline__ void commit_copies() {
#if defined(__CUDACC__)
    asm volatile("cp.async.commit_group;" ::: "memory");
#else
    emulator::commit_copies();
#endif
}

// Until no more than `kLeft` groups of this thread's copies are under way.
template <int kLeft>
__device__ __forceinline__ void wait_copies() {
#if defined(__CUDACC__)
    asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#else
    emulator::wait_copies(kLeft);
#endif
}

// Four matrices of 8 lines by 16 bytes; lanes 8 m to 8 m + 7 bring the lines of matrix m. Lane l gets
// word l % 4 of line l / 4 of each.
__device__ __forceinline__ void load_matrices(std::uint32_t (&out)[4], const void* shared_row) {
#if defined(__CUDACC__)
    const auto address = static_cast<unsigned>(__cvta_generic_to_shared(shared_row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
#else
    const emulator::Lanes<const void*> rows(0xffffffffu, shared_row);
    const unsigned lane = emulator::lane();
    for (unsigned m = 0; m < 4; ++m) {
        __builtin_memcpy(&out[m], static_cast<const unsigned char*>(rows[8 * m + lane / 4]) + 4 * (lane % 4), 4);
    }
#endif
}

}  // namespace embmath::cuda
