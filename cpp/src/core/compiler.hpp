// The only place that knows compilers. Force-inlining is not a speed hint here: a function compiled
// into an ISA unit must never be emitted as a mergeable symbol, or the linker could hand AVX code to
// baseline callers.
#pragma once

#if !defined(__GNUC__)
#error "embmath needs GCC or a compiler that speaks its dialect (Clang)"
#endif

#define EMBMATH_HOST_INLINE inline __attribute__((always_inline))
#if defined(__CUDACC__)
#define EMBMATH_INLINE __host__ __device__ __forceinline__
#define EMBMATH_UNROLL _Pragma("unroll")
#define EMBMATH_ROLL _Pragma("unroll 1")
#else
#define EMBMATH_INLINE EMBMATH_HOST_INLINE
#define EMBMATH_UNROLL _Pragma("GCC unroll 16")
#define EMBMATH_ROLL
#endif
// Of a lambda that a loop and its tail both call.
#define EMBMATH_INLINE_LAMBDA __attribute__((always_inline))
