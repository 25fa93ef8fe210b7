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
    for (const CodeKind kind : kRotatedKinds) {
        if (has(kind)) planes_[static_cast<int>(kind)].emplace(*rotation_, kind);
    }
}

std::size_t CodeForms::block_words(CodeKind kind, int rung) const {
    if (kind == CodeKind::int8) return rung == 0 ? CodePacker::block_words(static_cast<std::size_t>(n_cols_)) : 0;
    return (rung == 0 ? plane(kind)->block_steps() : plane(kind)->row_words()) * kBlockRows;
}

std::size_t CodeForms::bytes_per_row() const {
    std::size_t bytes = 0;
    for (const CodeKind kind : kAllKinds) {
        for (int rung = 0; has(kind) && rung < n_rungs(kind); ++rung) {
            bytes += block_words(kind, rung) * 4 / kBlockRows + static_cast<std::size_t>((rung == 0 ? 1 : 0) + n_terms(kind, rung)) * 4;
        }
    }
    return bytes == 0 ? 0 : bytes + 10;
}

}  // namespace embmath::engine
