// The few instructions that CUDA C++ has no words for: asynchronous copies, matrix fragments, matrix
// multiply-accumulate. sm_80 and later.
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

// Four 8 x 8 matrices of 16-bit elements; lanes 8 m to 8 m + 7 bring the rows of matrix m. Lane l gets
// elements 2 (l % 4) and the next of row l / 4 of each.
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

// c += a b: 16 x 16 by 16 x 8 in float16, float32 sums. Fragments as the instruction set lays them out:
// lane l holds rows l / 4 and l / 4 + 8 of a and c, column l / 4 of b.
__device__ __forceinline__ void multiply_f16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                             std::uint32_t b1);

#if defined(__CUDACC__)

__device__ __forceinline__ void multiply_f16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                             std::uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#endif

}  // namespace embmath::cuda

#if !defined(__CUDACC__)
#include "emulator/matrix_unit.hpp"
#endif
