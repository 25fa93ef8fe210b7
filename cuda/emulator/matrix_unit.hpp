// What the matrix unit computes, from the fragments of a whole warp.
#pragma once

#include "emulator/emulator.hpp"

namespace embmath::cuda::emulator {

template <class Code>
void multiply(typename Code::Sum (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    struct Fragments {
        std::uint32_t a[4], b[2];
    };
    const Lanes<Fragments> all(0xffffffffu, {{a[0], a[1], a[2], a[3]}, {b0, b1}});
    for (unsigned i = 0; i < 4; ++i) {
        const unsigned row = lane() / 4 + 8 * (i / 2), col = 2 * (lane() % 4) + i % 2;
        for (unsigned word = 0; word < 8; ++word) {
            const std::uint32_t x = all[row % 8 * 4 + word % 4].a[row / 8 + 2 * (word / 4)];
            const std::uint32_t y = all[col * 4 + word % 4].b[word / 4];
            c[i] = Code::add_word(c[i], x, y);
        }
    }
}

}  // namespace embmath::cuda::emulator
