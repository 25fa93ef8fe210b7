// Cascade Lake and later: four byte products and their sum in one instruction, without saturation.
#pragma once

#include "isa/avx512.hpp"

namespace embmath::isa {

struct Avx512Vnni : Avx512 {
    static constexpr const char* name = "avx512_vnni";
    static constexpr int code_levels = kFullCodes;
    static EMBMATH_INLINE I32 dot_bytes(I32 acc, I32 rows, I32 query) noexcept {
        return _mm512_dpbusd_epi32(acc, rows, query);
    }
};

}  // namespace embmath::isa
