// The one many-to-many loop: `Q` queries against `B` blocks of 16 rows, sums held in registers.
//
// An Op states the word it works on and one step of its sum:
//   Word                        float or std::uint32_t
//   step(acc, query, row)       acc + one dimension's term, lane by lane
//   kParts, part<i>(row)        where a row's word holds several of a query's (default: one, itself)
// Every (query, row) sum is one chain in ascending dimension, whatever Q and B are: that is why a
// matrix has the same bits for any batch, thread count and tile shape.
#pragma once

#include "core/compiler.hpp"
#include "isa/concept.hpp"
#include "kernel/table.hpp"

namespace embmath::kernel {

template <class I>
struct DotStep {
    using Word = float;
    template <class V>
    static EMBMATH_INLINE V step(V acc, V q, V x) noexcept { return I::fma(q, x, acc); }
};

template <class I>
struct SqDiffStep {
    using Word = float;
    template <class V>
    static EMBMATH_INLINE V step(V acc, V q, V x) noexcept {
        const V diff = I::sub(q, x);
        return I::fma(diff, diff, acc);
    }
};

template <class I>
struct AbsDiffStep {
    using Word = float;
    template <class V>
    static EMBMATH_INLINE V step(V acc, V q, V x) noexcept { return I::add(acc, I::abs(I::sub(q, x))); }
};

// Words of four codes: unsigned (biased) in the rows, signed in the queries.
template <class I>
struct CodeDotStep {
    using Word = std::uint32_t;
    static constexpr bool is_stored = true;
    template <class V>
    static EMBMATH_INLINE V step(V acc, V q, V x) noexcept { return I::dot_bytes(acc, x, q); }
};

// Words of eight codes of four bits, unsigned: those of one query word low, of the next one high.
template <class I>
struct NibbleDotStep {
    using Word = std::uint32_t;
    static constexpr bool is_stored = true;
    static constexpr int kParts = 2;
    template <int Part, class V>
    static EMBMATH_INLINE V part(V row) noexcept {
        return I::bit_and(Part == 0 ? row : I::template shift_right<4>(row), I::broadcast(0x0f0f0f0fu));
    }
    template <class V>
    static EMBMATH_INLINE V step(V acc, V q, V x) noexcept { return I::dot_bytes(acc, x, q); }
};

template <class I>
struct XorCountStep {
    using Word = std::uint32_t;
    template <class V>
    static EMBMATH_INLINE V step(V acc, V q, V x) noexcept { return I::add(acc, I::popcount(I::bit_xor(q, x))); }
};

template <class I>
struct AndCountStep {
    using Word = std::uint32_t;
    template <class V>
    static EMBMATH_INLINE V step(V acc, V q, V x) noexcept { return I::add(acc, I::popcount(I::bit_and(q, x))); }
};

template <class Op>
constexpr int parts_of() {
    if constexpr (requires { Op::kParts; }) return Op::kParts;
    else return 1;
}

template <class I, class Op, int Part, int Q, int B, class Vector>
EMBMATH_INLINE void tile_step(const typename Op::Word* queries, const Vector (&rows)[B], Vector (&acc)[Q][B]) noexcept {
    Vector parts[B];
    EMBMATH_UNROLL
    for (int b = 0; b < B; ++b) {
        if constexpr (parts_of<Op>() == 1) parts[b] = rows[b];
        else parts[b] = Op::template part<Part>(rows[b]);
    }
    EMBMATH_UNROLL
    for (int q = 0; q < Q; ++q) {
        const Vector query = I::broadcast(queries[Part * isa::kLanes + q]);
        EMBMATH_UNROLL
        for (int b = 0; b < B; ++b) acc[q][b] = Op::step(acc[q][b], query, parts[b]);
    }
}

template <class I, class Op, int Q, int B>
EMBMATH_INLINE void tile_registers(const typename Op::Word* queries, const typename Op::Word* panel,
                                   const TileArgs& args, const typename Op::Word* start,
                                   typename Op::Word* scores) noexcept {
    using Word = typename Op::Word;
    using Vector = decltype(I::broadcast(Word{}));
    Vector acc[Q][B];
    EMBMATH_UNROLL
    for (int q = 0; q < Q; ++q) {
        EMBMATH_UNROLL
        for (int b = 0; b < B; ++b) acc[q][b] = I::broadcast(start == nullptr ? Word{} : start[q]);
    }
    for (std::size_t step = 0; step < args.n_steps; ++step) {
        Vector rows[B];
        EMBMATH_UNROLL
        for (int b = 0; b < B; ++b) {
            const Word* block = panel + b * args.block_stride + step * isa::kLanes;
            // Stored codes come from memory: those of the next blocks travel meanwhile (8 queries:
            // 16 -> 24 GB/s). Panels packed on the fly are in L2 already.
            if constexpr (requires { Op::is_stored; }) __builtin_prefetch(block + B * args.block_stride, 0, 2);
            rows[b] = I::load(block);
        }
        const Word* words = queries + step * parts_of<Op>() * isa::kLanes;
        tile_step<I, Op, 0, Q, B>(words, rows, acc);
        if constexpr (parts_of<Op>() == 2) tile_step<I, Op, 1, Q, B>(words, rows, acc);
    }
    EMBMATH_UNROLL
    for (int q = 0; q < Q; ++q) {
        EMBMATH_UNROLL
        for (int b = 0; b < B; ++b) I::store(scores + q * args.ld + b * isa::kLanes, acc[q][b]);
    }
}

template <class I, class Op, int Q>
EMBMATH_INLINE void tile_blocks(const TileArgs& args, int first_query) noexcept {
    using Word = typename Op::Word;
    constexpr int kBlocks = I::tile(Q).blocks;
    const auto* queries = static_cast<const Word*>(args.queries) + first_query;
    const auto* panel = static_cast<const Word*>(args.panel);
    auto* scores = static_cast<Word*>(args.scores) + first_query * args.ld;
    const Word* start = args.start == nullptr ? nullptr : static_cast<const Word*>(args.start) + first_query;
    std::size_t block = 0;
    for (; block + kBlocks <= args.n_blocks; block += kBlocks) {
        tile_registers<I, Op, Q, kBlocks>(queries, panel + block * args.block_stride, args, start,
                                          scores + block * isa::kLanes);
    }
    for (; block < args.n_blocks; ++block) {
        tile_registers<I, Op, Q, 1>(queries, panel + block * args.block_stride, args, start, scores + block * isa::kLanes);
    }
}

template <class I, class Op>
void tile(const TileArgs& args) noexcept {
    int query = 0;
    const auto sweep = [&]<int Q>() {
        if constexpr (I::tile(Q).queries == Q) {
            for (; query + Q <= args.n_queries; query += Q) tile_blocks<I, Op, Q>(args, query);
        }
    };
    sweep.template operator()<8>();
    sweep.template operator()<4>();
    sweep.template operator()<2>();
    sweep.template operator()<1>();
}

}  // namespace embmath::kernel
