// CUDA on the host, for tests: one block at a time, each of its threads a fiber of one OS thread.
//
// Fibers are resumed in an order that EMBMATH_EMULATOR_SEED decides, so that a missing barrier shows as a
// wrong result under some seed. Shared memory starts as garbage, copies of cp.async happen only when
// they are waited for, and a barrier that some thread never reaches is an error, not a hang.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __grid_constant__
#define __launch_bounds__(...)

namespace embmath::cuda {

using Stream = void*;

struct Grid {
    unsigned blocks_x, blocks_y, threads;
    std::size_t shared_bytes;
};

namespace emulator {

struct Index {
    unsigned x = 0, y = 0, z = 0;
};

inline constexpr unsigned kWarp = 32;

// What the running thread sees.
struct Here {
    Index thread, block, block_dim, grid_dim;
    unsigned char* shared = nullptr;
};
extern Here here;

void run_grid(const Grid& grid, const std::function<void()>& body);

void sync_block();
// Meets the other lanes of `mask`; every lane then sees what all of them brought.
const void* exchange(unsigned mask, const void* mine, std::size_t bytes);
void exchange_done(unsigned mask);

void copy_later(void* to, const void* from, std::size_t bytes, std::size_t valid);
void commit_copies();
void wait_copies(unsigned groups_left);

// All lanes' values, while it lives; lanes outside the mask are garbage.
template <class T>
class Lanes {
public:
    Lanes(unsigned mask, const T& mine) : mask_(mask), all_(static_cast<const T*>(exchange(mask, &mine, sizeof(T)))) {}
    ~Lanes() { exchange_done(mask_); }
    Lanes(const Lanes&) = delete;
    Lanes& operator=(const Lanes&) = delete;
    const T& operator[](unsigned lane) const { return all_[lane]; }

private:
    unsigned mask_;
    const T* all_;
};

inline unsigned lane() { return here.thread.x % kWarp; }

}  // namespace emulator

inline unsigned char* shared_memory() { return emulator::here.shared; }

template <class Args>
void launch(void (*kernel)(Args), const Grid& grid, Stream, const Args& args) {
    emulator::run_grid(grid, [&] { kernel(args); });
}

}  // namespace embmath::cuda

#define threadIdx (::embmath::cuda::emulator::here.thread)
#define blockIdx (::embmath::cuda::emulator::here.block)
#define blockDim (::embmath::cuda::emulator::here.block_dim)
#define gridDim (::embmath::cuda::emulator::here.grid_dim)

inline void __syncthreads() { embmath::cuda::emulator::sync_block(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { embmath::cuda::emulator::Lanes<char> meet(mask, 0); }

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int = 32) {
    const embmath::cuda::emulator::Lanes<T> all(mask, value);
    return all[embmath::cuda::emulator::lane() ^ static_cast<unsigned>(lanes)];
}

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int = 32) {
    const embmath::cuda::emulator::Lanes<T> all(mask, value);
    return all[static_cast<unsigned>(lane)];
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int = 32) {
    const embmath::cuda::emulator::Lanes<T> all(mask, value);
    const unsigned lane = embmath::cuda::emulator::lane();
    return lane < lanes ? value : all[lane - lanes];
}

inline unsigned __ballot_sync(unsigned mask, bool value) {
    const embmath::cuda::emulator::Lanes<bool> all(mask, value);
    unsigned bits = 0;
    for (unsigned lane = 0; lane < 32; ++lane) bits |= (mask >> lane & 1u) != 0 && all[lane] ? 1u << lane : 0u;
    return bits;
}

template <class T>
T atomicAdd(T* address, T value) {
    const T before = *address;
    *address += value;
    return before;
}

template <class T>
T atomicMax(T* address, T value) {
    const T before = *address;
    *address = before < value ? value : before;
    return before;
}

inline int __ffsll(long long value) { return __builtin_ffsll(value); }
inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double a) { return __builtin_sqrt(a); }
inline float __double2float_rn(double a) { return static_cast<float>(a); }
inline float __double2float_ru(double a) {
    const float nearest = static_cast<float>(a);
    return static_cast<double>(nearest) < a ? __builtin_nextafterf(nearest, __builtin_inff()) : nearest;
}
inline float __double2float_rd(double a) {
    const float nearest = static_cast<float>(a);
    return static_cast<double>(nearest) > a ? __builtin_nextafterf(nearest, -__builtin_inff()) : nearest;
}
inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
// Towards zero: the rounding error of the nearest sum is exact, and says on which side it lies.
inline float __fadd_rz(float a, float b) {
    const float near = a + b, part = near - a, error = (a - (near - part)) + (b - part);
    return error != 0.0F && (error > 0.0F) != (near > 0.0F) ? __builtin_nextafterf(near, 0.0F) : near;
}
// Four of the eight bytes of two words.
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned which) {
    const std::uint64_t bytes = static_cast<std::uint64_t>(high) << 32 | low;
    unsigned found = 0;
    for (int i = 0; i < 4; ++i) found |= static_cast<unsigned>(bytes >> 8 * (which >> 4 * i & 7) & 0xff) << 8 * i;
    return found;
}
