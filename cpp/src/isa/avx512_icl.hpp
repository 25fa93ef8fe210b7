// Ice Lake, Zen 4 and later: VNNI and a native population count.
#pragma once

#include "isa/avx512_vnni.hpp"

namespace embmath::isa {

struct Avx512Icl : Avx512Vnni {
    static constexpr const char* name = "avx512_icl";
    static EMBMATH_INLINE I32 popcount(I32 a) noexcept { return _mm512_popcnt_epi32(a); }
};

}  // namespace embmath::isa
