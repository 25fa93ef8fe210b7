// Sapphire Rapids and later: matrices of 16 x 16 sums, 16 x 64 bytes times 64 x 16 bytes at once.
#pragma once

#include <cstddef>

#include "isa/avx512_icl.hpp"

namespace embmath::isa {

struct Avx512Amx : Avx512Icl {
    static constexpr const char* name = "avx512_amx";

    // Eight registers of 16 rows of 64 bytes. In a matrix of sums a row is a query, a column a row of
    // the corpus; a matrix of queries has a query per row; one of a packed block has a step per row.
    struct Matrix {
        // `query_rows[i]` queries in matrices 4 + i and the sums made with them (2 i, 2 i + 1); `steps`
        // words of each in matrices 4 to 7.
        static EMBMATH_INLINE void configure(const int (&query_rows)[2], int steps) noexcept {
            struct alignas(64) {
                std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
                std::uint16_t row_bytes[16] = {};
                std::uint8_t rows[16] = {};
            } config;
            for (int i = 0; i < 2; ++i) {
                config.rows[6 + i] = static_cast<std::uint8_t>(steps);
                config.row_bytes[6 + i] = 64;
                if (query_rows[i] == 0) continue;  // a matrix without rows must have no columns either
                for (int sums = 2 * i; sums < 2 * i + 2; ++sums) {
                    config.rows[sums] = static_cast<std::uint8_t>(query_rows[i]);
                    config.row_bytes[sums] = 64;
                }
                config.rows[4 + i] = static_cast<std::uint8_t>(query_rows[i]);
                config.row_bytes[4 + i] = static_cast<std::uint16_t>(4 * steps);
            }
            __asm__ volatile("ldtilecfg %0" ::"m"(config));
        }
        // Back to the state in which switching threads is cheap.
        static EMBMATH_INLINE void release() noexcept { __asm__ volatile("tilerelease" ::: "memory"); }

        template <int M>
        static EMBMATH_INLINE void load(const void* p, std::size_t row_bytes) noexcept {
            __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(row_bytes), "i"(M) : "memory");
        }
        template <int M>
        static EMBMATH_INLINE void store(void* p, std::size_t row_bytes) noexcept {
            __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(row_bytes), "i"(M) : "memory");
        }
        // sums += queries (signed bytes) * block (unsigned bytes)
        template <int Sums, int Queries, int Block>
        static EMBMATH_INLINE void dot() noexcept {
            __asm__ volatile("tdpbsud %%tmm%c0, %%tmm%c1, %%tmm%c2" ::"i"(Block), "i"(Queries), "i"(Sums));
        }
    };
};

}  // namespace embmath::isa
