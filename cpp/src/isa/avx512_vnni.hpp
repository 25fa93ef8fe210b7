// The VNNI generation (Ice Lake, Zen 4 and later): AVX-512 with a native population count.
#pragma once

#include "isa/avx512.hpp"

namespace embmath::isa {

struct Avx512Vnni : Avx512 {
    static constexpr const char* name = "avx512_vnni";
    static EMBMATH_INLINE I32 popcount(I32 a) noexcept { return _mm512_popcnt_epi32(a); }
};

}  // namespace embmath::isa
