#include "engine/code_layout.hpp"

#include <algorithm>

namespace embmath::engine {

namespace {

using kernel::CodeScan;

constexpr std::size_t kWord = 64;  // bytes of codes that go together

CodeScan form_of(const Coding& coding) {
    if (coding.kind == Coding::Kind::signs) return CodeScan::bits;
    return coding.grid.format.is_packed ? CodeScan::nibbles : CodeScan::bytes;
}

}  // namespace

CodeLayout::CodeLayout(const RowReader& rows, std::int64_t n_cols) {
    const Coding coding = rows.decoder()->coding();
    form = form_of(coding);
    nibbles = coding.grid.format.layout;
    dim = static_cast<std::size_t>(coding.dim);
    parts = form == CodeScan::bytes ? 1 : form == CodeScan::nibbles ? 2 : 8;
    middle = form == CodeScan::bytes ? 128 : form == CodeScan::nibbles ? 8 : 1;
    flip = form == CodeScan::bits ? coding.flip : rows.stored_dtype() == Dtype::i8 ? 0x80 : 0;
    for (std::size_t col = 0; col < static_cast<std::size_t>(n_cols); ++col) n_bytes = std::max(n_bytes, place(col).byte + 1);
    mask = runtime::AlignedArray<std::uint8_t>((n_bytes + kWord - 1) / kWord * kWord);
    std::fill(mask.begin(), mask.end(), std::uint8_t{0});
    const int bits = 8 / parts;
    for (std::size_t col = 0; col < static_cast<std::size_t>(n_cols); ++col) {
        const Place at = place(col);
        mask.data()[at.byte] |= static_cast<std::uint8_t>(((1 << bits) - 1) << bits * at.part);
    }
}

// Bits come most significant first; of two nibbles the low half is the even column, or one of the
// second half of the columns.
CodeLayout::Place CodeLayout::place(std::size_t col) const {
    if (form == CodeScan::bytes) return {col, 0};
    if (form == CodeScan::bits) return {col / 8, static_cast<int>(7 - col % 8)};
    if (nibbles == NibbleLayout::interleaved) return {col / 2, static_cast<int>(col % 2)};
    return col < dim / 2 ? Place{col, 1} : Place{col - dim / 2, 0};
}

std::size_t CodeLayout::query_byte(std::size_t col) const {
    const Place at = place(col);
    return (at.byte / kWord * static_cast<std::size_t>(parts) + static_cast<std::size_t>(at.part)) * kWord + at.byte % kWord;
}

}  // namespace embmath::engine
