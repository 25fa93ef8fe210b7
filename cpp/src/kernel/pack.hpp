// Rows into blocks of 16, dimensions interleaved, so that one vector holds one dimension of 16 rows:
// a tile then never adds across lanes and every sum runs in ascending dimension on every ISA.
#pragma once

#include "kernel/load.hpp"
#include "kernel/table.hpp"

namespace embmath::kernel {

template <class I, class D>
struct RowLoader {
    const PackArgs& args;

    EMBMATH_INLINE typename I::F32 operator()(int row, std::size_t col) const noexcept {
        if (row >= args.n_rows) return I::broadcast(0.0F);
        const auto* p = static_cast<const typename D::storage*>(args.rows[row]) + col;
        const std::size_t left = args.n_cols - col;
        if (args.row_scale == nullptr) {
            return left >= kLanes ? load_f32<I, D>(p) : load_f32_tail<I, D>(p, left);
        }
        const auto value = left >= kLanes ? load_f64<I, D>(p) : load_f64_tail<I, D>(p, left);
        return I::narrow(I::mul(value, I::broadcast(args.row_scale[row])));
    }
};

template <class I, class Load>
EMBMATH_INLINE void load_transposed(typename I::F32 (&cols)[kLanes], const Load& load, std::size_t col) noexcept {
    EMBMATH_UNROLL
    for (int row = 0; row < kLanes; ++row) cols[row] = load(row, col);
    I::transpose(cols);
}

template <class I, class D>
void pack(const PackArgs& args) noexcept {
    const RowLoader<I, D> load{args};
    auto sq_norm = I::broadcast(0.0F);
    auto max_abs = I::broadcast(0.0F);
    typename I::F32 cols[kLanes];
    for (std::size_t col = 0; col < args.n_cols; col += kLanes) {
        load_transposed<I>(cols, load, col);
        const std::size_t left = args.n_cols - col;
        float* out = args.block + col * kLanes;
        for (int j = 0; j < kLanes && static_cast<std::size_t>(j) < left; ++j) {
            I::store(out + j * kLanes, cols[j]);
            sq_norm = I::fma(cols[j], cols[j], sq_norm);
            max_abs = I::max(I::abs(cols[j]), max_abs);
        }
    }
    I::store(args.sq_norm, sq_norm);
    I::store(args.max_abs, max_abs);
}

// Bytes, four to a 32-bit word; a last partial word is completed with zero bytes. The words travel
// through float registers, which load, shuffle and store any bit pattern unchanged.
template <class I>
void pack_words(const PackArgs& args) noexcept {
    constexpr std::size_t kBytes = kLanes * sizeof(float);
    const auto load = [&](int row, std::size_t first_byte) {
        if (row >= args.n_rows) return I::broadcast(0.0F);
        const auto* p = static_cast<const std::uint8_t*>(args.rows[row]) + first_byte;
        const std::size_t left = args.n_cols - first_byte;
        return I::as_f32(left < kBytes ? I::load_part(p, left) : I::load(p));
    };
    typename I::F32 cols[kLanes];
    for (std::size_t byte = 0; byte < args.n_cols; byte += kBytes) {
        load_transposed<I>(cols, load, byte);
        const std::size_t n_words = (args.n_cols - byte + 3) / 4;
        float* out = args.block + byte / 4 * kLanes;
        for (int j = 0; j < kLanes && static_cast<std::size_t>(j) < n_words; ++j) I::store(out + j * kLanes, cols[j]);
    }
}

}  // namespace embmath::kernel
