// The only place that knows compilers. Force-inlining is not a speed hint here: a function compiled
// into an ISA unit must never be emitted as a mergeable symbol, or the linker could hand AVX code to
// baseline callers.
#pragma once

#if defined(_MSC_VER) && !defined(__clang__)
#define EMBMATH_INLINE __forceinline
#define EMBMATH_RESTRICT __restrict
#define EMBMATH_UNROLL
#else
#define EMBMATH_INLINE inline __attribute__((always_inline))
#define EMBMATH_RESTRICT __restrict__
#define EMBMATH_UNROLL _Pragma("GCC unroll 16")
#endif
