// The only place that knows compilers. Force-inlining is not a speed hint here: a function compiled
// into an ISA unit must never be emitted as a mergeable symbol, or the linker could hand AVX code to
// baseline callers.
#pragma once

#if !defined(__GNUC__)
#error "embmath needs GCC or a compiler that speaks its dialect (Clang)"
#endif

#define EMBMATH_INLINE inline __attribute__((always_inline))
// Of a lambda that a loop and its tail both call.
#define EMBMATH_INLINE_LAMBDA __attribute__((always_inline))
#define EMBMATH_UNROLL _Pragma("GCC unroll 16")
