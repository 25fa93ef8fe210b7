#include "engine/block_encoder.hpp"

#include <algorithm>
#include <cmath>

namespace embmath::engine {

namespace {

// Coordinates that any of the rotated kinds codes.
std::int64_t coords_of(const CodeForms& forms) {
    std::int64_t n = 0;
    for (const CodeKind kind : kRotatedKinds) {
        if (forms.has(kind)) n = std::max(n, forms.plane(kind)->n_coords());
    }
    return n;
}

// `n_lanes` of sixteen rows; the others are left out of every result.
template <class Terms>
void store_terms(RungBlocks& out, std::size_t first, const Terms& terms, int n_lanes, int n_terms) {
    for (int lane = 0; lane < kBlockRows; ++lane) {
        const core::RowTerms row = lane < n_lanes ? terms(lane) : core::RowTerms{};
        const std::size_t i = first + static_cast<std::size_t>(lane);
        if (out.mul.size() != 0) out.mul[i] = row.mul;
        for (int term = 0; term < n_terms; ++term) out.add[term][i] = row.add[term];
    }
}

}  // namespace

BlockEncoder::BlockEncoder(const kernel::KernelTable& table, Metric metric, const CodeForms& forms, const RowReader& reader)
    : metric_(metric), forms_(forms), reader_(reader), packer_(table, metric, reader) {
    if (forms.rotation() != nullptr) rotator_.emplace(table, *forms.rotation(), reader, coords_of(forms));
    for (const CodeKind kind : kRotatedKinds) {
        if (forms.has(kind)) coders_[static_cast<int>(kind)].emplace(*forms.plane(kind), metric);
    }
}

Extent BlockEncoder::encode(std::int64_t first, int n, CodeBlocks& out, int block) {
    Extent extent;
    extent.n_rows = n;
    if (rotator_) encode_rotated(first, n, out, block, extent);
    if (forms_.has(CodeKind::int8)) encode_plain(first, n, out, block, extent);
    for (int i = 0; i < n; ++i) {
        if (norms_[i] < core::kInfinity) extent.norm_sum += norms_[i];
    }
    mark(first, n, out, block);
    return extent;
}

void BlockEncoder::encode_plain(std::int64_t first, int n, CodeBlocks& out, int block, Extent& extent) {
    RungBlocks& codes = out.rungs[static_cast<int>(CodeKind::int8)][0];
    const std::size_t block_words = forms_.block_words(CodeKind::int8, 0);
    BlockTerms terms;
    for (int begin = 0; begin < n; begin += kBlockRows, ++block) {
        const int count = std::min(kBlockRows, n - begin);
        std::int64_t rows[kBlockRows];
        for (int lane = 0; lane < count; ++lane) rows[lane] = first + begin + lane;
        packer_.pack(rows, count, codes.blocks.data() + static_cast<std::size_t>(block) * block_words, terms);
        store_terms(codes, static_cast<std::size_t>(block * kBlockRows), [&](int lane) { return terms.row(lane); }, count, core::kMaxTerms);
        std::copy_n(terms.norm, count, norms_ + begin);
        extent.least_ratio = std::min(extent.least_ratio, terms.least_ratio);
    }
}

// x' of one row, and what is known of it; without bounds its lane holds zeros.
CentredRow BlockEncoder::centre(int lane, std::int64_t row, Extent& extent) {
    const double* x = rotator_->read(row);
    const double norm = length(x, reader_.n_cols());
    norms_[lane] = norm;
    const bool is_cosine = metric_ == Metric::cosine;
    CentredRow centred;
    if (!(norm < core::kInfinity) || (norm > 0.0 && !core::shares_units(metric_, std::ilogb(norm)))) {
        rotator_->clear(lane);
        return centred;
    }
    const double scale = !is_cosine ? 1.0 : norm > 0.0 ? 1.0 / norm : 0.0;
    const double before = norm * scale * (1.0 + 0x1p-30) + forms_.rotation()->mean_norm();
    if (!(before < core::kMostReach)) {
        rotator_->clear(lane);
        return centred;
    }
    const Rotator::Centred sums_of = rotator_->put(lane, x, scale, 1.0);
    const double length = std::sqrt(sums_of.sq_norm), margin = 0x1p-45 * before;
    centred.bounded = true;
    centred.norm = length * (1.0 + 0x1p-30) + margin;
    centred.least_norm = std::max(length * (1.0 - 0x1p-30) - margin, 0.0);
    centred.along_mean = sums_of.along_mean;
    extent.largest_norm = std::max(extent.largest_norm, before);
    return centred;
}

void BlockEncoder::encode_rotated(std::int64_t first, int n, CodeBlocks& out, int block, Extent& extent) {
    CentredRow rows[kMostRows];
    for (int lane = 0; lane < n; ++lane) rows[lane] = centre(lane, first + lane, extent);
    rotator_->run(n);
    PrefixTerms terms;
    for (int begin = 0; begin < n; begin += kBlockRows, ++block) {
        for (const CodeKind kind : kRotatedKinds) {
            if (!forms_.has(kind)) continue;
            RungBlocks* rungs = out.rungs[static_cast<int>(kind)];
            const auto place = [&](int rung) {
                return rungs[rung].blocks.data() + static_cast<std::size_t>(block) * forms_.block_words(kind, rung);
            };
            coders_[static_cast<int>(kind)]->encode(rotator_->y() + begin, rotator_->stride(), rows + begin, place(0), place(1), terms);
            for (int rung = 0; rung < core::kRungs; ++rung) {
                store_terms(rungs[rung], static_cast<std::size_t>(block * kBlockRows), [&](int lane) { return terms.row[rung][lane]; }, n - begin, forms_.n_terms(kind, rung));
            }
            double& reach = extent.code_reach[static_cast<int>(kind)];
            reach = std::max(reach, terms.code_reach);
        }
    }
}

// Positions, runs of equal rows, and which rows may be returned at all.
void BlockEncoder::mark(std::int64_t first, int n, CodeBlocks& out, int block) const {
    for (int begin = 0; begin < n; begin += kBlockRows, ++block) {
        unsigned valid = 0;
        for (int lane = 0; lane < kBlockRows; ++lane) {
            const auto i = static_cast<std::size_t>(block * kBlockRows + lane);
            const bool is_row = begin + lane < n;
            const std::int64_t row = first + begin + lane;
            out.positions[i] = is_row ? static_cast<std::uint32_t>(row) : 0u;
            out.copies[i] = is_row && reader_.repeats_previous(row) ? 1u : 0u;
            if (is_row && !std::isnan(norms_[begin + lane])) valid |= 1u << lane;
        }
        out.valid[static_cast<std::size_t>(block)] = static_cast<std::uint16_t>(valid);
    }
}

}  // namespace embmath::engine
