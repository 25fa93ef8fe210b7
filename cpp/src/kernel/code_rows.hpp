// Products of one query with single rows of codes: for the few rows that a shorter prefix leaves.
#pragma once

#include "core/compiler.hpp"
#include "kernel/load.hpp"
#include "kernel/table.hpp"
#include "kernel/tile.hpp"

namespace embmath::kernel {

// Rows far apart come from memory one by one unless the next ones are asked for early.
inline constexpr std::size_t kRowsAhead = 8;

template <class I, class Op>
void code_rows(const CodeRowsArgs& args) noexcept {
    constexpr std::size_t kWords = isa::kLanes;
    const auto* rows = static_cast<const std::uint32_t*>(args.rows);
    for (std::size_t i = 0; i < args.n_wanted; ++i) {
        if (i + kRowsAhead < args.n_wanted) {
            const std::uint32_t* ahead = rows + args.wanted[i + kRowsAhead] * args.row_words;
            for (std::size_t word = 0; word < args.row_words; word += kWords) __builtin_prefetch(ahead + word);
        }
        const std::uint32_t* row = rows + args.wanted[i] * args.row_words;
        const auto* query = static_cast<const std::uint32_t*>(args.query);
        auto sum = I::broadcast(0u);
        for (std::size_t word = 0; word < args.row_words; word += kWords, query += parts_of<Op>() * kWords) {
            const auto codes = I::load(row + word);
            if constexpr (parts_of<Op>() == 1) {
                sum = I::dot_bytes(sum, codes, I::load(query));
            } else {
                sum = I::dot_bytes(sum, Op::template part<0>(codes), I::load(query));
                sum = I::dot_bytes(sum, Op::template part<1>(codes), I::load(query + kWords));
            }
        }
        args.sums[i] += static_cast<std::int32_t>(I::sum(sum));
    }
}

}  // namespace embmath::kernel
