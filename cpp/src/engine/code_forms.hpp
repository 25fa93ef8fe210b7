// Which kinds of codes an index keeps, and how their blocks are laid out.
#pragma once

#include <memory>
#include <optional>

#include "embmath/index.hpp"
#include "engine/prefix_plane.hpp"
#include "engine/rotation.hpp"

namespace embmath::engine {

inline constexpr CodeKind kAllKinds[] = {CodeKind::int8, CodeKind::prefix, CodeKind::int4};
inline constexpr CodeKind kRotatedKinds[] = {CodeKind::prefix, CodeKind::int4};

class CodeForms {
public:
    CodeForms(const kernel::KernelTable& table, const IndexOptions& options);

    bool has(CodeKind kind) const { return kept_[static_cast<int>(kind)]; }
    bool has_any() const { return has(CodeKind::int8) || rotation_ != nullptr; }
    const Rotation* rotation() const { return rotation_.get(); }
    const PrefixPlane* plane(CodeKind kind) const {
        const auto& plane = planes_[static_cast<int>(kind)];
        return plane ? &*plane : nullptr;
    }

    // Words that sixteen rows take: of their first codes, as one packed block, or of their further ones.
    std::size_t block_words(CodeKind kind, int rung) const;
    int n_rungs(CodeKind kind) const { return kind == CodeKind::int8 ? 1 : core::kRungs; }
    // Terms of bounds that belong to a rung, beside `mul` of the first.
    int n_terms(CodeKind kind, int rung) const { return kind == CodeKind::int8 ? core::kMaxTerms : rung == 0 ? 2 : 1; }
    std::size_t bytes_per_row() const;

private:
    bool kept_[kCodeKinds];
    std::int64_t n_cols_;
    std::unique_ptr<const Rotation> rotation_;
    std::optional<PrefixPlane> planes_[kCodeKinds];
};

}  // namespace embmath::engine
