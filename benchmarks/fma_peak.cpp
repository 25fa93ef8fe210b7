// A loop of fused multiply-adds over registers only: what the FMA units can do at all. Compiled for
// this machine by benchmarks/roofline.py; no part of the package.
#include <immintrin.h>

#if defined(__AVX512F__)
using Vector = __m512;
constexpr int kChains = 24, kLanes = 16;
inline Vector broadcast(float x) { return _mm512_set1_ps(x); }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
inline float first(Vector a) { return _mm512_cvtss_f32(a); }
#else
using Vector = __m256;
constexpr int kChains = 12, kLanes = 8;
inline Vector broadcast(float x) { return _mm256_set1_ps(x); }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
inline float first(Vector a) { return _mm256_cvtss_f32(a); }
#endif

// Four cycles of latency on two ports need 8 chains; more keep the ports busy across iterations.
extern "C" double multiply_adds(long rounds) {
    Vector sums[kChains];
    for (int c = 0; c < kChains; ++c) sums[c] = broadcast(static_cast<float>(c));
    const Vector factor = broadcast(0.999F), term = broadcast(0.001F);
    for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
        for (int c = 0; c < kChains; ++c) sums[c] = multiply_add(sums[c], factor, term);
    }
    volatile float sink = 0.0F;
    for (int c = 0; c < kChains; ++c) sink = sink + first(sums[c]);
    return static_cast<double>(rounds) * kChains * kLanes;
}
