// Plain C++ over arrays of 16: the fallback everywhere, and what the baseline compiler vectorises.
// It shares the kernels with the other ISAs, so it is not the tests' oracle.
#pragma once

#include "core/compiler.hpp"
#include "isa/concept.hpp"

namespace embmath::isa {

struct Scalar {
    static constexpr const char* name = "scalar";
    // Two queries x four SSE registers leave half of the sixteen registers for operands.
    static constexpr TileShape tile(int queries) { return {queries >= 2 ? 2 : 1, 1}; }

    static constexpr int canonical_rows = 1;
    static constexpr int code_levels = kFullCodes;
    static constexpr bool multiplies_bytes = false;

    template <class T>
    struct Lanes {
        T lane[kLanes];
    };
    using F32 = Lanes<float>;
    using F64 = Lanes<double>;
    using I32 = Lanes<std::uint32_t>;

    template <class T, class Function>
    static EMBMATH_INLINE Lanes<T> fill(Function function) noexcept {
        Lanes<T> out;
        for (int l = 0; l < kLanes; ++l) out.lane[l] = function(l);
        return out;
    }
    template <class Function>
    static EMBMATH_INLINE Mask fill_mask(Function function) noexcept {
        Mask mask = 0;
        for (int l = 0; l < kLanes; ++l) mask |= static_cast<Mask>(function(l)) << l;
        return mask;
    }

    template <class T>
    static EMBMATH_INLINE Lanes<T> load(const T* p) noexcept { return fill<T>([=](int l) { return p[l]; }); }
    template <class T>
    static EMBMATH_INLINE Lanes<T> broadcast(T value) noexcept { return fill<T>([=](int) { return value; }); }
    template <class T>
    static EMBMATH_INLINE void store(T* p, const Lanes<T>& a) noexcept {
        for (int l = 0; l < kLanes; ++l) p[l] = a.lane[l];
    }
    template <class T>
    static EMBMATH_INLINE void stream(T* p, const Lanes<T>& a) noexcept { store(p, a); }
    static EMBMATH_INLINE void fence() noexcept {}

    template <class T>
    static EMBMATH_INLINE Lanes<T> add(const Lanes<T>& a, const Lanes<T>& b) noexcept {
        return fill<T>([&](int l) { return a.lane[l] + b.lane[l]; });
    }
    template <class T>
    static EMBMATH_INLINE Lanes<T> sub(const Lanes<T>& a, const Lanes<T>& b) noexcept {
        return fill<T>([&](int l) { return a.lane[l] - b.lane[l]; });
    }
    template <class T>
    static EMBMATH_INLINE Lanes<T> mul(const Lanes<T>& a, const Lanes<T>& b) noexcept {
        return fill<T>([&](int l) { return a.lane[l] * b.lane[l]; });
    }
    // Baseline x86-64 has no fused form and a library call would be fifty times slower. The float32
    // bound covers both; in the canonical sum this is only used where the product is exact.
    template <class T>
    static EMBMATH_INLINE Lanes<T> fma(const Lanes<T>& a, const Lanes<T>& b, const Lanes<T>& c) noexcept {
        return fill<T>([&](int l) { return a.lane[l] * b.lane[l] + c.lane[l]; });
    }
    template <class T>
    static EMBMATH_INLINE Lanes<T> abs(const Lanes<T>& a) noexcept {
        return fill<T>([&](int l) { return a.lane[l] < 0 ? -a.lane[l] : a.lane[l] + T{0}; });
    }

    template <class T>
    static EMBMATH_INLINE Lanes<T> div(const Lanes<T>& a, const Lanes<T>& b) noexcept {
        return fill<T>([&](int l) { return a.lane[l] / b.lane[l]; });
    }
    static EMBMATH_INLINE F32 sqrt(const F32& a) noexcept {
        return fill<float>([&](int l) { return __builtin_sqrtf(a.lane[l]); });
    }
    static EMBMATH_INLINE F64 sqrt(const F64& a) noexcept {
        return fill<double>([&](int l) { return __builtin_sqrt(a.lane[l]); });
    }
    template <class T>
    static EMBMATH_INLINE Lanes<T> max(const Lanes<T>& a, const Lanes<T>& b) noexcept {
        return fill<T>([&](int l) { return a.lane[l] > b.lane[l] ? a.lane[l] : b.lane[l]; });
    }
    template <class T>
    static EMBMATH_INLINE Lanes<T> min(const Lanes<T>& a, const Lanes<T>& b) noexcept {
        return fill<T>([&](int l) { return a.lane[l] < b.lane[l] ? a.lane[l] : b.lane[l]; });
    }
    template <class T>
    static EMBMATH_INLINE Mask not_less(const Lanes<T>& a, const Lanes<T>& b) noexcept {
        return fill_mask([&](int l) { return !(a.lane[l] < b.lane[l]); });
    }
    static EMBMATH_INLINE F64 widen(const F32& a) noexcept {
        return fill<double>([&](int l) { return static_cast<double>(a.lane[l]); });
    }
    static EMBMATH_INLINE F32 narrow(const F64& a) noexcept {
        return fill<float>([&](int l) { return static_cast<float>(a.lane[l]); });
    }

    static EMBMATH_INLINE void transpose(F32 (&rows)[kLanes]) noexcept {
        for (int i = 0; i < kLanes; ++i) {
            for (int j = i + 1; j < kLanes; ++j) {
                const float upper = rows[i].lane[j];
                rows[i].lane[j] = rows[j].lane[i];
                rows[j].lane[i] = upper;
            }
        }
    }

    static EMBMATH_INLINE int push_keys(core::Key* keys, Mask mask, const F32& score,
                                        const std::uint32_t* ids) noexcept {
        int count = 0;
        for (; mask != 0; mask &= mask - 1) {
            const int l = __builtin_ctz(mask);
            keys[count++] = core::make_key(score.lane[l], ids[l]);
        }
        return count;
    }

    static EMBMATH_INLINE double sum(F64 a) noexcept {
        for (int half = kLanes / 2; half > 0; half /= 2) {
            for (int l = 0; l < half; ++l) a.lane[l] += a.lane[l + half];
        }
        return a.lane[0];
    }

    static EMBMATH_INLINE I32 load(const std::uint8_t* p) noexcept { return load_part(p, sizeof(I32)); }
    static EMBMATH_INLINE I32 load_part(const std::uint8_t* p, std::size_t n) noexcept {
        I32 out{};
        __builtin_memcpy(out.lane, p, n);
        return out;
    }
    static EMBMATH_INLINE std::uint32_t sum(const I32& a) noexcept {
        std::uint32_t total = 0;
        for (int l = 0; l < kLanes; ++l) total += a.lane[l];
        return total;
    }
    static EMBMATH_INLINE void sum_each(const I32& a, const I32& b, const I32& c, const I32& d, std::uint32_t* out) noexcept {
        out[0] = sum(a), out[1] = sum(b), out[2] = sum(c), out[3] = sum(d);
    }
    static EMBMATH_INLINE I32 bit_and(const I32& a, const I32& b) noexcept {
        return fill<std::uint32_t>([&](int l) { return a.lane[l] & b.lane[l]; });
    }
    static EMBMATH_INLINE I32 bit_xor(const I32& a, const I32& b) noexcept {
        return fill<std::uint32_t>([&](int l) { return a.lane[l] ^ b.lane[l]; });
    }
    template <int N>
    static EMBMATH_INLINE I32 shift_right(const I32& a) noexcept {
        return fill<std::uint32_t>([&](int l) { return a.lane[l] >> N; });
    }
    // Pairs, nibbles, bytes, then one multiplication adds the four bytes.
    static EMBMATH_INLINE I32 popcount(const I32& a) noexcept {
        return fill<std::uint32_t>([&](int l) {
            std::uint32_t v = a.lane[l];
            v -= v >> 1 & 0x55555555u;
            v = (v & 0x33333333u) + (v >> 2 & 0x33333333u);
            return ((v + (v >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24;
        });
    }
    static EMBMATH_INLINE F32 to_f32(const I32& a) noexcept {
        return fill<float>([&](int l) { return static_cast<float>(static_cast<std::int32_t>(a.lane[l])); });
    }
    static EMBMATH_INLINE F32 as_f32(const I32& a) noexcept {
        return fill<float>([&](int l) { return core::bit_cast<float>(a.lane[l]); });
    }
    // Adding and removing 1.5 * 2^23 rounds to an integer; what lies beyond 2^22 is nobody's code.
    static EMBMATH_INLINE I32 to_i32(const F32& a) noexcept {
        return fill<std::uint32_t>([&](int l) {
            return core::bit_cast<std::uint32_t>(a.lane[l] + 0x1.8p23F) - core::bit_cast<std::uint32_t>(0x1.8p23F);
        });
    }
    template <class T>
    static EMBMATH_INLINE I32 truncate(const Lanes<T>& a) noexcept {
        return fill<std::uint32_t>([&](int l) { return static_cast<std::uint32_t>(static_cast<std::int32_t>(a.lane[l])); });
    }
    static EMBMATH_INLINE void store_bytes(std::uint8_t* p, const I32& a) noexcept {
        for (int l = 0; l < kLanes; ++l) p[l] = static_cast<std::uint8_t>(a.lane[l]);
    }
    static EMBMATH_INLINE I32 dot_bytes(const I32& acc, const I32& rows, const I32& query) noexcept {
        return fill<std::uint32_t>([&](int l) {
            std::uint32_t sum = acc.lane[l];
            for (int byte = 0; byte < 32; byte += 8) {
                const std::int32_t row = static_cast<std::uint8_t>(rows.lane[l] >> byte);
                sum += static_cast<std::uint32_t>(row * static_cast<std::int8_t>(query.lane[l] >> byte));
            }
            return sum;
        });
    }
};

static_assert(Isa<Scalar>);

}  // namespace embmath::isa
