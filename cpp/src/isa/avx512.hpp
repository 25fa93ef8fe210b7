// AVX-512 (F, BW, DQ, VL).
#pragma once

#include <immintrin.h>

#include "core/compiler.hpp"
#include "isa/concept.hpp"

namespace embmath::isa {

struct Avx512 {
    static constexpr const char* name = "avx512";
    // 24 accumulators, 3 rows vectors and a broadcast fit 32 registers; per step 11 loads feed 24
    // FMAs, below the two loads per cycle, and a block streams from L2 at 16 bytes per cycle.
    static constexpr TileShape tile(int queries) {
        return queries >= 8 ? TileShape{8, 3} : queries >= 4 ? TileShape{4, 6} : queries >= 2 ? TileShape{2, 8} : TileShape{1, 8};
    }

    static constexpr int canonical_rows = 4;
    static constexpr int code_levels = kPairSafeCodes;
    static constexpr bool multiplies_bytes = true;

    using F32 = __m512;
    using I32 = __m512i;
    struct F64 {
        __m512d low, high;  // lanes 0-7, 8-15
    };

    static EMBMATH_INLINE F32 load(const float* p) noexcept { return _mm512_loadu_ps(p); }
    static EMBMATH_INLINE F32 broadcast(float value) noexcept { return _mm512_set1_ps(value); }
    static EMBMATH_INLINE void store(float* p, F32 a) noexcept { _mm512_storeu_ps(p, a); }
    static EMBMATH_INLINE void stream(float* p, F32 a) noexcept { _mm512_stream_ps(p, a); }
    static EMBMATH_INLINE void fence() noexcept { _mm_sfence(); }
    static EMBMATH_INLINE F32 fma(F32 a, F32 b, F32 c) noexcept { return _mm512_fmadd_ps(a, b, c); }
    static EMBMATH_INLINE F32 add(F32 a, F32 b) noexcept { return _mm512_add_ps(a, b); }
    static EMBMATH_INLINE F32 sub(F32 a, F32 b) noexcept { return _mm512_sub_ps(a, b); }
    static EMBMATH_INLINE F32 mul(F32 a, F32 b) noexcept { return _mm512_mul_ps(a, b); }
    static EMBMATH_INLINE F32 div(F32 a, F32 b) noexcept { return _mm512_div_ps(a, b); }
    static EMBMATH_INLINE F32 abs(F32 a) noexcept { return _mm512_abs_ps(a); }
    static EMBMATH_INLINE F32 sqrt(F32 a) noexcept { return _mm512_sqrt_ps(a); }
    static EMBMATH_INLINE F32 max(F32 a, F32 b) noexcept { return _mm512_max_ps(a, b); }
    static EMBMATH_INLINE F32 min(F32 a, F32 b) noexcept { return _mm512_min_ps(a, b); }
    static EMBMATH_INLINE Mask not_less(F32 a, F32 b) noexcept { return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ); }

    static EMBMATH_INLINE F64 load(const double* p) noexcept { return {_mm512_loadu_pd(p), _mm512_loadu_pd(p + 8)}; }
    static EMBMATH_INLINE F64 broadcast(double v) noexcept { return {_mm512_set1_pd(v), _mm512_set1_pd(v)}; }
    static EMBMATH_INLINE void store(double* p, F64 a) noexcept {
        _mm512_storeu_pd(p, a.low);
        _mm512_storeu_pd(p + 8, a.high);
    }
    static EMBMATH_INLINE void stream(double* p, F64 a) noexcept {
        _mm512_stream_pd(p, a.low);
        _mm512_stream_pd(p + 8, a.high);
    }
    static EMBMATH_INLINE F64 widen(F32 a) noexcept {
        return {_mm512_cvtps_pd(_mm512_castps512_ps256(a)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1))};
    }
    static EMBMATH_INLINE F32 narrow(F64 a) noexcept {
        return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a.low)), _mm512_cvtpd_ps(a.high), 1);
    }
    static EMBMATH_INLINE F64 fma(F64 a, F64 b, F64 c) noexcept {
        return {_mm512_fmadd_pd(a.low, b.low, c.low), _mm512_fmadd_pd(a.high, b.high, c.high)};
    }
    static EMBMATH_INLINE F64 add(F64 a, F64 b) noexcept {
        return {_mm512_add_pd(a.low, b.low), _mm512_add_pd(a.high, b.high)};
    }
    static EMBMATH_INLINE F64 sub(F64 a, F64 b) noexcept {
        return {_mm512_sub_pd(a.low, b.low), _mm512_sub_pd(a.high, b.high)};
    }
    static EMBMATH_INLINE F64 mul(F64 a, F64 b) noexcept {
        return {_mm512_mul_pd(a.low, b.low), _mm512_mul_pd(a.high, b.high)};
    }
    static EMBMATH_INLINE F64 div(F64 a, F64 b) noexcept {
        return {_mm512_div_pd(a.low, b.low), _mm512_div_pd(a.high, b.high)};
    }
    static EMBMATH_INLINE F64 max(F64 a, F64 b) noexcept {
        return {_mm512_max_pd(a.low, b.low), _mm512_max_pd(a.high, b.high)};
    }
    static EMBMATH_INLINE F64 min(F64 a, F64 b) noexcept {
        return {_mm512_min_pd(a.low, b.low), _mm512_min_pd(a.high, b.high)};
    }
    static EMBMATH_INLINE Mask not_less(F64 a, F64 b) noexcept {
        const Mask low = _mm512_cmp_pd_mask(a.low, b.low, _CMP_NLT_UQ);
        return low | static_cast<Mask>(_mm512_cmp_pd_mask(a.high, b.high, _CMP_NLT_UQ)) << 8;
    }
    static EMBMATH_INLINE F64 abs(F64 a) noexcept { return {_mm512_abs_pd(a.low), _mm512_abs_pd(a.high)}; }
    static EMBMATH_INLINE F64 sqrt(F64 a) noexcept { return {_mm512_sqrt_pd(a.low), _mm512_sqrt_pd(a.high)}; }
    static EMBMATH_INLINE double sum(F64 a) noexcept {
        const __m512d eight = _mm512_add_pd(a.low, a.high);
        const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
        const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
        return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
    }

    static EMBMATH_INLINE F32 load_f32(core::F16, const std::uint16_t* p) noexcept {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static EMBMATH_INLINE F32 load_f32(core::BF16, const std::uint16_t* p) noexcept {
        const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
    }
    static EMBMATH_INLINE F32 load_f32(core::F64, const double* p) noexcept { return narrow(load(p)); }
    static EMBMATH_INLINE F32 load_f32(core::I8, const std::int8_t* p) noexcept {
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
    }
    static EMBMATH_INLINE F32 load_f32(core::U8, const std::uint8_t* p) noexcept {
        return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
    }
    // Two halves straight from memory: no lane has to change places.
    static EMBMATH_INLINE F64 load_f64(core::F32, const float* p) noexcept {
        return {_mm512_cvtps_pd(_mm256_loadu_ps(p)), _mm512_cvtps_pd(_mm256_loadu_ps(p + 8))};
    }
    static EMBMATH_INLINE F64 load_f64(core::F16, const std::uint16_t* p) noexcept {
        const __m128i* halves = reinterpret_cast<const __m128i*>(p);
        return {_mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128(halves))),
                _mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128(halves + 1)))};
    }
    template <class D>
    static EMBMATH_INLINE void store_f32(D dtype, std::uint16_t* p, F32 a) noexcept {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), round(dtype, a));
    }
    template <class D>
    static EMBMATH_INLINE void stream_f32(D dtype, std::uint16_t* p, F32 a, F32 b) noexcept {
        const __m512i line = _mm512_inserti64x4(_mm512_castsi256_si512(round(dtype, a)), round(dtype, b), 1);
        _mm512_stream_si512(reinterpret_cast<__m512i*>(p), line);
    }

    // 4x4 of 4x4: floats within 128-bit quarters, then the quarters themselves.
    static EMBMATH_INLINE void transpose(F32 (&rows)[kLanes]) noexcept {
        F32 quads[kLanes];
        EMBMATH_UNROLL
        for (int i = 0; i < kLanes; i += 4) {
            const F32 a = _mm512_unpacklo_ps(rows[i], rows[i + 1]), b = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
            const F32 c = _mm512_unpacklo_ps(rows[i + 2], rows[i + 3]), d = _mm512_unpackhi_ps(rows[i + 2], rows[i + 3]);
            quads[i] = _mm512_shuffle_ps(a, c, 0x44);
            quads[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
            quads[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
            quads[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
        }
        EMBMATH_UNROLL
        for (int j = 0; j < 4; ++j) {
            const F32 a = _mm512_shuffle_f32x4(quads[j], quads[j + 4], 0x88);
            const F32 b = _mm512_shuffle_f32x4(quads[j + 8], quads[j + 12], 0x88);
            const F32 c = _mm512_shuffle_f32x4(quads[j], quads[j + 4], 0xdd);
            const F32 d = _mm512_shuffle_f32x4(quads[j + 8], quads[j + 12], 0xdd);
            rows[j] = _mm512_shuffle_f32x4(a, b, 0x88);
            rows[j + 4] = _mm512_shuffle_f32x4(c, d, 0x88);
            rows[j + 8] = _mm512_shuffle_f32x4(a, b, 0xdd);
            rows[j + 12] = _mm512_shuffle_f32x4(c, d, 0xdd);
        }
    }

    static EMBMATH_INLINE int push_keys(core::Key* keys, Mask mask, F32 score, const std::uint32_t* ids) noexcept {
        const __m512i bits = _mm512_castps_si512(score);
        const __m512i flip = _mm512_or_si512(_mm512_srai_epi32(bits, 31), _mm512_set1_epi32(INT32_MIN));
        const __m512i order = _mm512_xor_si512(bits, flip);
        const __m512i row = _mm512_xor_si512(_mm512_loadu_si512(ids), _mm512_set1_epi32(-1));
        const __m512i low = join(_mm512_castsi512_si256(order), _mm512_castsi512_si256(row));
        const __m512i high = join(_mm512_extracti64x4_epi64(order, 1), _mm512_extracti64x4_epi64(row, 1));
        const int n_low = __builtin_popcount(mask & 0xffu);
        _mm512_mask_compressstoreu_epi64(keys, static_cast<__mmask8>(mask), low);
        _mm512_mask_compressstoreu_epi64(keys + n_low, static_cast<__mmask8>(mask >> 8), high);
        return n_low + __builtin_popcount(mask >> 8);
    }

    static EMBMATH_INLINE I32 load(const std::uint32_t* p) noexcept { return _mm512_loadu_si512(p); }
    static EMBMATH_INLINE I32 load(const std::uint8_t* p) noexcept { return _mm512_loadu_si512(p); }
    static EMBMATH_INLINE I32 load_part(const std::uint8_t* p, std::size_t n) noexcept {
        return _mm512_maskz_loadu_epi8((std::uint64_t{1} << n) - 1, p);
    }
    static EMBMATH_INLINE I32 broadcast(std::uint32_t v) noexcept { return _mm512_set1_epi32(static_cast<int>(v)); }
    static EMBMATH_INLINE void store(std::uint32_t* p, I32 a) noexcept { _mm512_storeu_si512(p, a); }
    static EMBMATH_INLINE I32 add(I32 a, I32 b) noexcept { return _mm512_add_epi32(a, b); }
    static EMBMATH_INLINE I32 bit_and(I32 a, I32 b) noexcept { return _mm512_and_si512(a, b); }
    static EMBMATH_INLINE I32 bit_xor(I32 a, I32 b) noexcept { return _mm512_xor_si512(a, b); }
    template <int N>
    static EMBMATH_INLINE I32 shift_right(I32 a) noexcept { return _mm512_srli_epi32(a, N); }
    static EMBMATH_INLINE std::uint32_t sum(I32 a) noexcept {
        const __m256i eight = _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
        const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
        const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
        return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1))));
    }
    static EMBMATH_INLINE void sum_each(I32 a, I32 b, I32 c, I32 d, std::uint32_t* out) noexcept {
        const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        const __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
        const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out), four);
    }
    static EMBMATH_INLINE F32 to_f32(I32 a) noexcept { return _mm512_cvtepi32_ps(a); }
    static EMBMATH_INLINE F32 as_f32(I32 a) noexcept { return _mm512_castsi512_ps(a); }
    static EMBMATH_INLINE I32 to_i32(F32 a) noexcept { return _mm512_cvtps_epi32(a); }
    static EMBMATH_INLINE I32 truncate(F32 a) noexcept { return _mm512_cvttps_epi32(a); }
    static EMBMATH_INLINE I32 truncate(F64 a) noexcept {
        return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvttpd_epi32(a.low)), _mm512_cvttpd_epi32(a.high), 1);
    }
    static EMBMATH_INLINE void store_bytes(std::uint8_t* p, I32 a) noexcept {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
    }
    static EMBMATH_INLINE void store_bits(std::uint8_t* p, std::uint64_t bits) noexcept {
        _mm512_storeu_si512(p, _mm512_maskz_set1_epi8(bits, 1));
    }
    static EMBMATH_INLINE I32 dot_bytes(I32 acc, I32 rows, I32 query) noexcept {
        const __m512i pairs = _mm512_maddubs_epi16(rows, query);
        return _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
    }
    // A table of nibble counts, then two widening additions of neighbours.
    static EMBMATH_INLINE I32 popcount(I32 a) noexcept {
        const __m512i table = _mm512_set4_epi32(0x04030302, 0x03020201, 0x03020201, 0x02010100);
        const __m512i nibble = _mm512_set1_epi8(0x0f);
        const __m512i low = _mm512_shuffle_epi8(table, _mm512_and_si512(a, nibble));
        const __m512i high = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(a, 4), nibble));
        const __m512i pairs = _mm512_maddubs_epi16(_mm512_add_epi8(low, high), _mm512_set1_epi8(1));
        return _mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
    }

private:
    static EMBMATH_INLINE __m256i round(core::F16, F32 a) noexcept { return _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT); }
    // To nearest, ties to even, by adding almost half; NaN keeps its sign and becomes quiet.
    static EMBMATH_INLINE __m256i round(core::BF16, F32 a) noexcept {
        const __m512i bits = _mm512_castps_si512(a), high = _mm512_srli_epi32(bits, 16);
        const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
        const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        const __mmask16 is_nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
        const __m512i quiet = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
        return _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(is_nan, _mm512_srli_epi32(sum, 16), quiet));
    }
    static EMBMATH_INLINE __m512i join(__m256i high, __m256i low) noexcept {
        return _mm512_or_si512(_mm512_slli_epi64(_mm512_cvtepu32_epi64(high), 32), _mm512_cvtepu32_epi64(low));
    }
};

}  // namespace embmath::isa
