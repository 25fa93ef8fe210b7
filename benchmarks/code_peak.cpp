// Loops of int8 multiplications over registers only: what the byte units can do at all. Compiled for
// this machine by benchmarks/roofline.py; no part of the package. Each returns the multiplications
// it made: 0 where the machine lacks the instruction.
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__AVX512VNNI__)
using Vector = __m512i;
constexpr int kChains = 24, kLanes = 64;
inline Vector broadcast(int x) { return _mm512_set1_epi32(x); }
#define MULTIPLY_ADD "vpdpbusd"
inline int first(Vector a) { return _mm512_cvtsi512_si32(a); }
#elif defined(__AVXVNNI__)
using Vector = __m256i;
constexpr int kChains = 12, kLanes = 32;
inline Vector broadcast(int x) { return _mm256_set1_epi32(x); }
#define MULTIPLY_ADD "%{vex%} vpdpbusd"
inline int first(Vector a) { return _mm256_cvtsi256_si32(a); }
#endif

// VPDPBUSD, written out and every loop over sums unrolled: GCC 12 else keeps sums in memory. Five
// cycles of latency on two ports need 10 chains; more keep the ports busy across iterations.
extern "C" double vector_multiply_adds([[maybe_unused]] long rounds) {
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
    Vector sums[kChains];
#pragma GCC unroll 24
    for (int c = 0; c < kChains; ++c) sums[c] = broadcast(c);
    const Vector bytes = broadcast(0x01020304), factors = broadcast(0x7F81037D);
    for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
        for (int c = 0; c < kChains; ++c) {
            asm(MULTIPLY_ADD " %2, %1, %0" : "+v"(sums[c]) : "v"(bytes), "v"(factors));
        }
    }
    volatile int sink = 0;
#pragma GCC unroll 24
    for (int c = 0; c < kChains; ++c) sink = sink ^ first(sums[c]);
    return static_cast<double>(rounds) * kChains * kLanes;
#else
    return 0.0;
#endif
}

// TDPBUSD: six tiles of sums, 16 x 16 each, and two of 16 x 64 bytes. The kernel wants to be asked
// for the tile registers before their first use.
extern "C" double tile_multiply_adds([[maybe_unused]] long rounds) {
#if defined(__AMX_INT8__) && defined(SYS_arch_prctl)
    constexpr int kRequestPermission = 0x1023, kTileData = 18;
    constexpr int kSums = 6, kRows = 16, kRowBytes = 64;
    if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) != 0) return 0.0;
    struct alignas(64) {
        unsigned char palette = 1, start_row = 0, reserved[14] = {};
        unsigned short row_bytes[16] = {};
        unsigned char rows[16] = {};
    } config;
    for (int tile = 0; tile < 8; ++tile) {
        config.row_bytes[tile] = kRowBytes;
        config.rows[tile] = kRows;
    }
    alignas(64) signed char bytes[kRows * kRowBytes];
    for (int i = 0; i < kRows * kRowBytes; ++i) bytes[i] = static_cast<signed char>(i);
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_loadd(6, bytes, kRowBytes);
    _tile_loadd(7, bytes, kRowBytes);
    for (long round = 0; round < rounds; ++round) {
        _tile_dpbusd(0, 6, 7);
        _tile_dpbusd(1, 6, 7);
        _tile_dpbusd(2, 6, 7);
        _tile_dpbusd(3, 6, 7);
        _tile_dpbusd(4, 6, 7);
        _tile_dpbusd(5, 6, 7);
    }
    _tile_stored(0, bytes, kRowBytes);
    _tile_release();
    return static_cast<double>(rounds) * kSums * kRows * kRows * kRowBytes;
#else
    return 0.0;
#endif
}
