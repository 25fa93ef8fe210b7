// AVX2 with FMA and F16C: sixteen lanes are two 256-bit halves (four for float64).
#pragma once

#include <immintrin.h>

#include "core/compiler.hpp"
#include "isa/concept.hpp"

namespace embmath::isa {

struct Avx2 {
    static constexpr const char* name = "avx2";
    // Eight accumulators cover four cycles of latency on two FMA ports; a fifth query would spill.
    static constexpr TileShape tile(int queries) {
        return queries >= 4 ? TileShape{4, 1} : queries >= 2 ? TileShape{2, 2} : TileShape{1, 4};
    }

    static constexpr int canonical_rows = 2;
    static constexpr int code_levels = kPairSafeCodes;
    static constexpr bool multiplies_bytes = true;

    struct F32 {
        __m256 low, high;
    };
    struct I32 {
        __m256i low, high;
    };
    struct F64 {
        __m256d part[4];
    };

    static EMBMATH_INLINE F32 load(const float* p) noexcept { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
    static EMBMATH_INLINE F32 broadcast(float value) noexcept {
        const __m256 v = _mm256_set1_ps(value);
        return {v, v};
    }
    static EMBMATH_INLINE void store(float* p, F32 a) noexcept {
        _mm256_storeu_ps(p, a.low);
        _mm256_storeu_ps(p + 8, a.high);
    }
    static EMBMATH_INLINE void stream(float* p, F32 a) noexcept {
        _mm256_stream_ps(p, a.low);
        _mm256_stream_ps(p + 8, a.high);
    }
    static EMBMATH_INLINE void fence() noexcept { _mm_sfence(); }
    static EMBMATH_INLINE F32 fma(F32 a, F32 b, F32 c) noexcept {
        return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
    }
    static EMBMATH_INLINE F32 add(F32 a, F32 b) noexcept {
        return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
    }
    static EMBMATH_INLINE F32 sub(F32 a, F32 b) noexcept {
        return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
    }
    static EMBMATH_INLINE F32 mul(F32 a, F32 b) noexcept {
        return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
    }
    static EMBMATH_INLINE F32 div(F32 a, F32 b) noexcept {
        return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
    }
    static EMBMATH_INLINE F32 abs(F32 a) noexcept {
        const __m256 sign = _mm256_set1_ps(-0.0F);
        return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
    }
    static EMBMATH_INLINE F32 sqrt(F32 a) noexcept { return {_mm256_sqrt_ps(a.low), _mm256_sqrt_ps(a.high)}; }
    static EMBMATH_INLINE F32 max(F32 a, F32 b) noexcept {
        return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
    }
    static EMBMATH_INLINE F32 min(F32 a, F32 b) noexcept {
        return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
    }
    static EMBMATH_INLINE Mask not_less(F32 a, F32 b) noexcept {
        const int low = _mm256_movemask_ps(_mm256_cmp_ps(a.low, b.low, _CMP_NLT_UQ));
        const int high = _mm256_movemask_ps(_mm256_cmp_ps(a.high, b.high, _CMP_NLT_UQ));
        return static_cast<Mask>(low | high << 8);
    }

    static EMBMATH_INLINE F64 load(const double* p) noexcept {
        return {{_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4), _mm256_loadu_pd(p + 8), _mm256_loadu_pd(p + 12)}};
    }
    static EMBMATH_INLINE F64 broadcast(double value) noexcept {
        const __m256d v = _mm256_set1_pd(value);
        return {{v, v, v, v}};
    }
    static EMBMATH_INLINE void store(double* p, F64 a) noexcept {
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) _mm256_storeu_pd(p + 4 * i, a.part[i]);
    }
    static EMBMATH_INLINE void stream(double* p, F64 a) noexcept {
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) _mm256_stream_pd(p + 4 * i, a.part[i]);
    }
    static EMBMATH_INLINE F64 widen(F32 a) noexcept {
        return {{_mm256_cvtps_pd(_mm256_castps256_ps128(a.low)), _mm256_cvtps_pd(_mm256_extractf128_ps(a.low, 1)),
                 _mm256_cvtps_pd(_mm256_castps256_ps128(a.high)), _mm256_cvtps_pd(_mm256_extractf128_ps(a.high, 1))}};
    }
    static EMBMATH_INLINE F32 narrow(F64 a) noexcept {
        return {_mm256_set_m128(_mm256_cvtpd_ps(a.part[1]), _mm256_cvtpd_ps(a.part[0])),
                _mm256_set_m128(_mm256_cvtpd_ps(a.part[3]), _mm256_cvtpd_ps(a.part[2]))};
    }
    static EMBMATH_INLINE F64 fma(F64 a, F64 b, F64 c) noexcept {
        F64 out;
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) out.part[i] = _mm256_fmadd_pd(a.part[i], b.part[i], c.part[i]);
        return out;
    }
    static EMBMATH_INLINE F64 add(F64 a, F64 b) noexcept {
        F64 out;
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) out.part[i] = _mm256_add_pd(a.part[i], b.part[i]);
        return out;
    }
    static EMBMATH_INLINE F64 sub(F64 a, F64 b) noexcept {
        F64 out;
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) out.part[i] = _mm256_sub_pd(a.part[i], b.part[i]);
        return out;
    }
    static EMBMATH_INLINE F64 mul(F64 a, F64 b) noexcept {
        F64 out;
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) out.part[i] = _mm256_mul_pd(a.part[i], b.part[i]);
        return out;
    }
    static EMBMATH_INLINE F64 div(F64 a, F64 b) noexcept {
        F64 out;
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) out.part[i] = _mm256_div_pd(a.part[i], b.part[i]);
        return out;
    }
    static EMBMATH_INLINE F64 max(F64 a, F64 b) noexcept {
        F64 out;
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) out.part[i] = _mm256_max_pd(a.part[i], b.part[i]);
        return out;
    }
    static EMBMATH_INLINE F64 min(F64 a, F64 b) noexcept {
        F64 out;
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) out.part[i] = _mm256_min_pd(a.part[i], b.part[i]);
        return out;
    }
    static EMBMATH_INLINE Mask not_less(F64 a, F64 b) noexcept {
        Mask mask = 0;
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) {
            const int four = _mm256_movemask_pd(_mm256_cmp_pd(a.part[i], b.part[i], _CMP_NLT_UQ));
            mask |= static_cast<Mask>(four) << 4 * i;
        }
        return mask;
    }
    static EMBMATH_INLINE F64 abs(F64 a) noexcept {
        F64 out;
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) out.part[i] = _mm256_andnot_pd(_mm256_set1_pd(-0.0), a.part[i]);
        return out;
    }
    static EMBMATH_INLINE F64 sqrt(F64 a) noexcept {
        F64 out;
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) out.part[i] = _mm256_sqrt_pd(a.part[i]);
        return out;
    }
    static EMBMATH_INLINE double sum(F64 a) noexcept {
        const __m256d lower = _mm256_add_pd(a.part[0], a.part[2]), upper = _mm256_add_pd(a.part[1], a.part[3]);
        const __m256d four = _mm256_add_pd(lower, upper);
        const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
        return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
    }

    static EMBMATH_INLINE F32 load_f32(core::F16, const std::uint16_t* p) noexcept {
        const __m128i* halves = reinterpret_cast<const __m128i*>(p);
        return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
    }
    static EMBMATH_INLINE F32 load_f32(core::BF16, const std::uint16_t* p) noexcept {
        const __m128i* halves = reinterpret_cast<const __m128i*>(p);
        return {widen_bf16(_mm_loadu_si128(halves)), widen_bf16(_mm_loadu_si128(halves + 1))};
    }
    static EMBMATH_INLINE F32 load_f32(core::F64, const double* p) noexcept { return narrow(load(p)); }
    static EMBMATH_INLINE F32 load_f32(core::I8, const std::int8_t* p) noexcept {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
    }
    static EMBMATH_INLINE F32 load_f32(core::U8, const std::uint8_t* p) noexcept {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
    }
    template <class D>
    static EMBMATH_INLINE void store_f32(D dtype, std::uint16_t* p, F32 a) noexcept {
        __m128i* halves = reinterpret_cast<__m128i*>(p);
        _mm_storeu_si128(halves, round8(dtype, a.low));
        _mm_storeu_si128(halves + 1, round8(dtype, a.high));
    }
    template <class D>
    static EMBMATH_INLINE void stream_f32(D dtype, std::uint16_t* p, F32 a, F32 b) noexcept {
        __m256i* halves = reinterpret_cast<__m256i*>(p);
        _mm256_stream_si256(halves, _mm256_set_m128i(round8(dtype, a.high), round8(dtype, a.low)));
        _mm256_stream_si256(halves + 1, _mm256_set_m128i(round8(dtype, b.high), round8(dtype, b.low)));
    }

    // Four 8x8 transpositions; the off-diagonal ones change places.
    static EMBMATH_INLINE void transpose(F32 (&rows)[kLanes]) noexcept {
        __m256 a[8], b[8], c[8], d[8];
        EMBMATH_UNROLL
        for (int i = 0; i < 8; ++i) {
            a[i] = rows[i].low, b[i] = rows[i].high, c[i] = rows[i + 8].low, d[i] = rows[i + 8].high;
        }
        transpose8(a), transpose8(b), transpose8(c), transpose8(d);
        EMBMATH_UNROLL
        for (int i = 0; i < 8; ++i) {
            rows[i] = {a[i], c[i]};
            rows[i + 8] = {b[i], d[i]};
        }
    }

    static EMBMATH_INLINE int push_keys(core::Key* keys, Mask mask, F32 score, const std::uint32_t* ids) noexcept {
        float lane[kLanes];
        store(lane, score);
        int count = 0;
        for (; mask != 0; mask &= mask - 1) {
            const int l = __builtin_ctz(mask);
            keys[count++] = core::make_key(lane[l], ids[l]);
        }
        return count;
    }

    static EMBMATH_INLINE I32 load(const std::uint32_t* p) noexcept {
        const __m256i* halves = reinterpret_cast<const __m256i*>(p);
        return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
    }
    static EMBMATH_INLINE I32 load(const std::uint8_t* p) noexcept {
        const __m256i* halves = reinterpret_cast<const __m256i*>(p);
        return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
    }
    static EMBMATH_INLINE I32 load_part(const std::uint8_t* p, std::size_t n) noexcept {
        if (n < 32) return {load_part8(p, n), _mm256_setzero_si256()};
        return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), load_part8(p + 32, n - 32)};
    }
    static EMBMATH_INLINE I32 broadcast(std::uint32_t value) noexcept {
        const __m256i v = _mm256_set1_epi32(static_cast<int>(value));
        return {v, v};
    }
    static EMBMATH_INLINE void store(std::uint32_t* p, I32 a) noexcept {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.low);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p) + 1, a.high);
    }
    static EMBMATH_INLINE I32 add(I32 a, I32 b) noexcept {
        return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
    }
    static EMBMATH_INLINE I32 bit_and(I32 a, I32 b) noexcept {
        return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)};
    }
    static EMBMATH_INLINE I32 bit_xor(I32 a, I32 b) noexcept {
        return {_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)};
    }
    template <int N>
    static EMBMATH_INLINE I32 shift_right(I32 a) noexcept {
        return {_mm256_srli_epi32(a.low, N), _mm256_srli_epi32(a.high, N)};
    }
    static EMBMATH_INLINE I32 popcount(I32 a) noexcept { return {popcount8(a.low), popcount8(a.high)}; }
    static EMBMATH_INLINE std::uint32_t sum(I32 a) noexcept {
        const __m256i eight = _mm256_add_epi32(a.low, a.high);
        const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
        const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
        return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1))));
    }
    static EMBMATH_INLINE void sum_each(I32 a, I32 b, I32 c, I32 d, std::uint32_t* out) noexcept {
        const __m256i ab = _mm256_hadd_epi32(_mm256_add_epi32(a.low, a.high), _mm256_add_epi32(b.low, b.high));
        const __m256i cd = _mm256_hadd_epi32(_mm256_add_epi32(c.low, c.high), _mm256_add_epi32(d.low, d.high));
        const __m256i all = _mm256_hadd_epi32(ab, cd);
        const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out), four);
    }
    static EMBMATH_INLINE F32 to_f32(I32 a) noexcept {
        return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)};
    }
    static EMBMATH_INLINE F32 as_f32(I32 a) noexcept {
        return {_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)};
    }
    static EMBMATH_INLINE I32 to_i32(F32 a) noexcept {
        return {_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)};
    }
    static EMBMATH_INLINE I32 truncate(F32 a) noexcept {
        return {_mm256_cvttps_epi32(a.low), _mm256_cvttps_epi32(a.high)};
    }
    static EMBMATH_INLINE I32 truncate(F64 a) noexcept {
        return {_mm256_set_m128i(_mm256_cvttpd_epi32(a.part[1]), _mm256_cvttpd_epi32(a.part[0])),
                _mm256_set_m128i(_mm256_cvttpd_epi32(a.part[3]), _mm256_cvttpd_epi32(a.part[2]))};
    }
    static EMBMATH_INLINE void store_bytes(std::uint8_t* p, I32 a) noexcept {
        const __m128i low = low_bytes(a.low), high = low_bytes(a.high);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_unpacklo_epi64(low, high));
    }
    static EMBMATH_INLINE I32 dot_bytes(I32 acc, I32 rows, I32 query) noexcept {
        return {dot_bytes8(acc.low, rows.low, query.low), dot_bytes8(acc.high, rows.high, query.high)};
    }

private:
    static EMBMATH_INLINE __m128i round8(core::F16, __m256 a) noexcept {
        return _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT);
    }
    // To nearest, ties to even, by adding almost half; NaN keeps its sign and becomes quiet.
    static EMBMATH_INLINE __m128i round8(core::BF16, __m256 a) noexcept {
        const __m256i bits = _mm256_castps_si256(a), high = _mm256_srli_epi32(bits, 16);
        const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
        const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
        const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
        const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
        const __m256i rounded = _mm256_blendv_epi8(_mm256_srli_epi32(sum, 16), quiet, is_nan);
        return _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
    }
    // Whole words by a masked load, which faults on none of the others; then the bytes of a last one.
    static EMBMATH_INLINE __m256i load_part8(const std::uint8_t* p, std::size_t n) noexcept {
        const __m256i word = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i n_words = _mm256_set1_epi32(static_cast<int>(n / 4));
        const __m256i words = _mm256_maskload_epi32(reinterpret_cast<const int*>(p), _mm256_cmpgt_epi32(n_words, word));
        if (n % 4 == 0) return words;
        std::uint32_t rest = 0;
        for (std::size_t i = n / 4 * 4; i < n; ++i) rest |= std::uint32_t{p[i]} << 8 * (i % 4);
        const __m256i last = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(rest)), _mm256_cmpeq_epi32(n_words, word));
        return _mm256_or_si256(words, last);
    }
    static EMBMATH_INLINE __m256i dot_bytes8(__m256i acc, __m256i rows, __m256i query) noexcept {
        const __m256i pairs = _mm256_maddubs_epi16(rows, query);
        return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    static EMBMATH_INLINE __m128i low_bytes(__m256i a) noexcept {
        const __m256i each = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                              0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
        const __m256i halves = _mm256_shuffle_epi8(a, each);
        return _mm_unpacklo_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
    }
    static EMBMATH_INLINE __m256 widen_bf16(__m128i halves) noexcept {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
    }
    // A table of nibble counts, then two widening additions of neighbours.
    static EMBMATH_INLINE __m256i popcount8(__m256i a) noexcept {
        const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                               0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
        const __m256i nibble = _mm256_set1_epi8(0x0f);
        const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(a, nibble));
        const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(a, 4), nibble));
        const __m256i pairs = _mm256_maddubs_epi16(_mm256_add_epi8(low, high), _mm256_set1_epi8(1));
        return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    }
    static EMBMATH_INLINE void transpose8(__m256 (&r)[8]) noexcept {
        __m256 q[8];
        EMBMATH_UNROLL
        for (int i = 0; i < 8; i += 4) {
            const __m256 a = _mm256_unpacklo_ps(r[i], r[i + 1]), b = _mm256_unpackhi_ps(r[i], r[i + 1]);
            const __m256 c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
            q[i] = _mm256_shuffle_ps(a, c, 0x44);
            q[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
            q[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
            q[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
        }
        EMBMATH_UNROLL
        for (int i = 0; i < 4; ++i) {
            r[i] = _mm256_permute2f128_ps(q[i], q[i + 4], 0x20);
            r[i + 4] = _mm256_permute2f128_ps(q[i], q[i + 4], 0x31);
        }
    }
};

}  // namespace embmath::isa
