// Fills a KernelTable for one ISA by folding over the type lists: nobody writes the product by hand.
#pragma once

#include "kernel/bits.hpp"
#include "kernel/canonical.hpp"
#include "kernel/code_rows.hpp"
#include "kernel/code_scan.hpp"
#include "kernel/decode.hpp"
#include "kernel/decoded_terms.hpp"
#include "kernel/encode.hpp"
#include "kernel/matrix_tile.hpp"
#include "kernel/epilogue.hpp"
#include "kernel/pack.hpp"
#include "kernel/quantize.hpp"
#include "kernel/rotate.hpp"
#include "kernel/rotated_codes.hpp"
#include "kernel/rows.hpp"
#include "kernel/table.hpp"
#include "kernel/tile.hpp"

namespace embmath::kernel {

template <class I, class D>
constexpr void add_canonical(KernelTable& table) {
    const auto add = [&]<CanonicalOp op>() {
        table.canonical[static_cast<int>(op)][static_cast<int>(D::id)] = &canonical<I, D, op>;
    };
    add.template operator()<CanonicalOp::dot_separate>();
    add.template operator()<CanonicalOp::dot_norm_separate>();
    add.template operator()<CanonicalOp::norm_separate>();
    add.template operator()<CanonicalOp::sqdiff>();
    add.template operator()<CanonicalOp::absdiff>();
    if constexpr (D::id != Dtype::f64) {
        add.template operator()<CanonicalOp::dot>();
        add.template operator()<CanonicalOp::dot_norm>();
        add.template operator()<CanonicalOp::norm>();
    }
}

template <class I, class... Ds>
constexpr void add_dtypes(KernelTable& table) {
    ((table.pack[static_cast<int>(Ds::id)] = &pack<I, Ds>), ...);
    ((table.widen[static_cast<int>(Ds::id)] = &widen<I, Ds>), ...);
    ((table.pack_bits[static_cast<int>(Ds::id)] = &pack_bits<I, Ds>), ...);
    (add_canonical<I, Ds>(table), ...);
}

template <class I, class... Ds>
constexpr void add_scale(KernelTable& table) {
    ((table.scale[static_cast<int>(Ds::id)] = &scale<I, Ds>), ...);
    ((table.scale_streamed[static_cast<int>(Ds::id)] = &scale_streamed<I, Ds>), ...);
}

template <class I, class... Ds>
constexpr void add_encode(KernelTable& table) {
    ((table.encode[static_cast<int>(Ds::id)] = &encode<I, Ds>), ...);
    table.encode[static_cast<int>(Dtype::i8)] = &encode_exact<I>;
    table.code_levels = I::code_levels;
    table.multiplies_bytes = I::multiplies_bytes;
}

template <class I>
constexpr void add_code_tiles(KernelTable& table) {
    table.tile[static_cast<int>(TileOp::nibble_dot)] = &tile<I, NibbleDotStep<I>>;
    table.code_rows = &code_rows<I, CodeDotStep<I>>;
    table.nibble_rows = &code_rows<I, NibbleDotStep<I>>;
    if constexpr (requires { typename I::Matrix; }) {
        table.tile[static_cast<int>(TileOp::code_dot)] = &matrix_tile<I>;
        table.code_queries = kMatrixQueries;
    } else {
        table.tile[static_cast<int>(TileOp::code_dot)] = &tile<I, CodeDotStep<I>>;
        table.code_queries = kTileQueries;
    }
}

template <class I, class... Ops>
constexpr void add_code_scans(KernelTable& table) {
    ((table.scan_codes[static_cast<int>(Ops::form)] = &scan_codes<I, Ops>), ...);
    table.decoded_lengths = &decoded_lengths<I>;
    table.decoded_terms = &decoded_terms<I>;
    table.decoded_sq_norms[0] = &decoded_sq_norms<I, core::I8>;
    table.decoded_sq_norms[1] = &decoded_sq_norms<I, core::U8>;
}

template <class I, SelectOp... ops>
constexpr void add_select(KernelTable& table) {
    ((table.select[static_cast<int>(ops)] = &select<I, ops>), ...);
}

template <class I, class From, class... Ds>
constexpr void add_conversions(KernelTable& table) {
    ((table.convert[static_cast<int>(From::id)][static_cast<int>(Ds::id)] = &convert<I, From, Ds>), ...);
}

template <class I, class... Ds>
constexpr void add_codecs(KernelTable& table) {
    ((table.quantize[static_cast<int>(Ds::id)] = &quantize<I, Ds>), ...);
    ((table.row_range[static_cast<int>(Ds::id)] = &row_range<I, Ds>), ...);
    ((table.column_ranges[static_cast<int>(Ds::id)] = &column_ranges<I, Ds>), ...);
    ((table.decode_i8[static_cast<int>(Ds::id)] = &decode<I, core::I8, Ds>), ...);
    ((table.decode_u8[static_cast<int>(Ds::id)] = &decode<I, core::U8, Ds>), ...);
    ((table.unpack_bits[static_cast<int>(Ds::id)] = &unpack_bits<I, Ds>), ...);
    (add_conversions<I, Ds, Ds...>(table), ...);
    table.unpack_bits[static_cast<int>(Dtype::u8)] = &unpack_bit_bytes<I>;
    table.pack_nibbles = &pack_nibbles<I>;
    table.unpack_nibbles = &unpack_nibbles<I>;
}

template <class I>
constexpr void add_bits(KernelTable& table) {
    constexpr int kBits = static_cast<int>(Dtype::u8);
    table.pack_words = &pack_words<I>;
    table.canonical[static_cast<int>(CanonicalOp::hamming)][kBits] = &count_bits<I, CanonicalOp::hamming>;
    table.canonical[static_cast<int>(CanonicalOp::jaccard)][kBits] = &count_bits<I, CanonicalOp::jaccard>;
}

template <class I>
constexpr void add_rotated(KernelTable& table) {
    table.center = &center<I>;
    table.rotate = &rotate<I>;
    table.encode_rotated = &encode_rotated<I>;
    table.decode_rotated = &decode_rotated<I>;
}

template <isa::Isa I>
constexpr KernelTable make_table() {
    KernelTable table{};
    table.name = I::name;
    add_dtypes<I, core::F16, core::BF16, core::F32, core::F64, core::I8, core::U8>(table);
    add_scale<I, core::F16, core::BF16, core::F32, core::F64>(table);
    add_codecs<I, core::F16, core::BF16, core::F32, core::F64>(table);
    add_encode<I, core::F16, core::BF16, core::F32, core::F64, core::U8>(table);
    add_bits<I>(table);
    add_rotated<I>(table);
    table.tile[static_cast<int>(TileOp::dot)] = &tile<I, DotStep<I>>;
    table.tile[static_cast<int>(TileOp::sqdiff)] = &tile<I, SqDiffStep<I>>;
    table.tile[static_cast<int>(TileOp::absdiff)] = &tile<I, AbsDiffStep<I>>;
    table.tile[static_cast<int>(TileOp::xor_count)] = &tile<I, XorCountStep<I>>;
    table.tile[static_cast<int>(TileOp::and_count)] = &tile<I, AndCountStep<I>>;
    add_code_tiles<I>(table);
    add_code_scans<I, ByteCodes<I>, NibbleCodes<I>, BitCodes<I>>(table);
    add_select<I, SelectOp::affine_f32_1, SelectOp::affine_i32_1, SelectOp::affine_i32_2, SelectOp::affine_i32_3,
               SelectOp::wide_i32_1, SelectOp::wide_i32_2, SelectOp::wide_i32_3, SelectOp::ratio_i32>(table);
    table.finish[static_cast<int>(FinishOp::scaled)] = &finish<I, FinishOp::scaled>;
    table.finish[static_cast<int>(FinishOp::clamped)] = &finish<I, FinishOp::clamped>;
    table.finish[static_cast<int>(FinishOp::plain)] = &finish<I, FinishOp::plain>;
    table.finish[static_cast<int>(FinishOp::root)] = &finish<I, FinishOp::root>;
    return table;
}

}  // namespace embmath::kernel
