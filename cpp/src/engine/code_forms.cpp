#include "engine/code_forms.hpp"

#include <algorithm>

#include "embmath/errors.hpp"
#include "engine/code_stage.hpp"

namespace embmath::engine {

CodeForms::CodeForms(const kernel::KernelTable& table, const IndexOptions& options) : n_cols_(options.n_cols) {
    std::copy(std::begin(options.codes), std::end(options.codes), kept_);
    if (!has(CodeKind::prefix) && !has(CodeKind::int4)) return;
    if (options.basis == nullptr) throw ValueError("rotation: needed by the codes 'prefix' and 'int4'");
    if (static_cast<std::int64_t>(options.basis->mean.size()) != n_cols_) {
        throw ValueError("rotation: expected " + std::to_string(n_cols_) + " columns like the rows, got " +
                         std::to_string(options.basis->mean.size()));
    }
    rotation_ = std::make_unique<const Rotation>(table, *options.basis);
    for (const CodeKind kind : {CodeKind::prefix, CodeKind::int4}) {
        if (has(kind)) planes_[static_cast<int>(kind)].emplace(*rotation_, kind);
    }
}

std::size_t CodeForms::block_words(CodeKind kind, int rung) const {
    if (kind == CodeKind::int8) return rung == 0 ? CodePacker::block_words(static_cast<std::size_t>(n_cols_)) : 0;
    const PrefixPlane& codes = *plane(kind);
    if (codes.is_packed()) return codes.n_words(rung) * kBlockRows;
    return rung == 0 ? (codes.n_words(0) + codes.n_words(1)) * kBlockRows : 0;
}

std::size_t CodeForms::first_word(CodeKind kind, int rung) const {
    return kind == CodeKind::prefix && rung == 1 ? plane(kind)->n_words(0) * kBlockRows : 0;
}

std::size_t CodeForms::bytes_per_row() const {
    std::size_t bytes = 0;
    for (const CodeKind kind : {CodeKind::int8, CodeKind::prefix, CodeKind::int4}) {
        for (int rung = 0; has(kind) && rung < n_rungs(kind); ++rung) {
            bytes += block_words(kind, rung) * 4 / kBlockRows + static_cast<std::size_t>(1 + n_terms(kind)) * 4;
        }
    }
    return bytes == 0 ? 0 : bytes + 10;
}

}  // namespace embmath::engine
