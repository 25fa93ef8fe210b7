// One row in, one row out.
#pragma once

#include "kernel/load.hpp"
#include "kernel/table.hpp"

namespace embmath::kernel {

template <class I, class D>
void widen(const void* row, std::size_t n_cols, double* out) noexcept {
    const auto* x = static_cast<const typename D::storage*>(row);
    std::size_t col = 0;
    for (; col + kLanes <= n_cols; col += kLanes) I::store(out + col, load_f64<I, D>(x + col));
    if (col < n_cols) I::store(out + col, load_f64_tail<I, D>(x + col, n_cols - col));
}

template <class I, class D>
void scale(const void* row, std::size_t n_cols, double factor, void* out) noexcept {
    const auto* x = static_cast<const typename D::storage*>(row);
    auto* y = static_cast<typename D::storage*>(out);
    const auto by = I::broadcast(factor);
    std::size_t col = 0;
    for (; col + kLanes <= n_cols; col += kLanes) store_rounded<I, D>(y + col, I::mul(load_f64<I, D>(x + col), by));
    if (col < n_cols) {
        const std::size_t left = n_cols - col;
        Buffer<typename D::storage> tail;
        store_rounded<I, D>(tail.lane, I::mul(load_f64_tail<I, D>(x + col, left), by));
        __builtin_memcpy(y + col, tail.lane, left * sizeof(typename D::storage));
    }
}

}  // namespace embmath::kernel
