// What the matrix unit computes, from the fragments of a whole warp.
#pragma once

#include "core/dtype.hpp"
#include "emulator/emulator.hpp"

namespace embmath::cuda {

inline void multiply_f16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    struct Fragments {
        std::uint16_t a[4][2], b[2][2];
    } mine;
    const std::uint32_t b[2] = {b0, b1};
    __builtin_memcpy(mine.a, a, sizeof(mine.a));
    __builtin_memcpy(mine.b, b, sizeof(mine.b));
    const emulator::Lanes<Fragments> all(0xffffffffu, mine);
    const unsigned lane = emulator::lane();
    for (unsigned i = 0; i < 4; ++i) {
        const unsigned row = lane / 4 + 8 * (i / 2), col = 2 * (lane % 4) + i % 2;
        float sum = c[i];
        for (unsigned k = 0; k < 16; ++k) {
            const unsigned from = k % 8 / 2, half = k % 2;
            const std::uint16_t x = all[row % 8 * 4 + from].a[row / 8 + 2 * (k / 8)][half];
            const std::uint16_t y = all[col * 4 + from].b[k / 8][half];
            sum += core::decode_f16(x) * core::decode_f16(y);
        }
        c[i] = sum;
    }
}

}  // namespace embmath::cuda
