// Rows in, rows out.
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

// Joins elements that follow each other in memory to whole lines, whatever rows they come from: to
// stream a part of a line costs as much as to read and write all of it.
template <class I, class D>
class Joiner {
public:
    using T = typename D::storage;

    // `out` is aligned to its elements; those before it in its line are not touched.
    EMBMATH_INLINE explicit Joiner(T* out) noexcept
        : foreign_(reinterpret_cast<std::uintptr_t>(out) / sizeof(T) % kLine), filled_(foreign_), out_(out - foreign_) {}

    // `values(col)`: sixteen float64 elements from `col` on, of which those beyond `n` are ignored.
    template <class Values>
    EMBMATH_INLINE void append(std::size_t n, const Values& values) noexcept {
        std::size_t col = 0;
        if (filled_ > 0) {
            const std::size_t wanted = kLine - filled_;
            fill(0, wanted < n ? wanted : n, values);
            if (n < wanted) return;
            complete();
            col = wanted;
        }
        for (; col + kLine <= n; col += kLine, out_ += kLine) stream_rounded<I, D>(out_, values, col);
        fill(col, n, values);
    }

    EMBMATH_INLINE void finish() noexcept {
        __builtin_memcpy(out_ + foreign_, pending_ + foreign_, (filled_ - foreign_) * sizeof(T));
    }

private:
    static constexpr std::size_t kLine = kLineLanes<T>;

    template <class Values>
    EMBMATH_INLINE void fill(std::size_t col, std::size_t end, const Values& values) noexcept {
        for (std::size_t at = col; at < end; at += kLanes) store_rounded<I, D>(pending_ + filled_ + (at - col), values(at));
        filled_ += end - col;
    }
    EMBMATH_INLINE void complete() noexcept {
        if (foreign_ == 0) {
            stream_rounded<I, D>(out_, [&](std::size_t lane) { return load_f64<I, D>(pending_ + lane); }, 0);
        } else {
            __builtin_memcpy(out_ + foreign_, pending_ + foreign_, (kLine - foreign_) * sizeof(T));
            foreign_ = 0;
        }
        filled_ = 0;
        out_ += kLine;
    }

    std::size_t foreign_, filled_;
    T* out_;
    alignas(64) T pending_[kLine + kLanes];  // a line, and what its last sixteen exceed it by
};

template <class I, class D>
void scale_streamed(const StreamArgs& args) noexcept {
    using T = typename D::storage;
    Joiner<I, D> joiner(static_cast<T*>(args.out));
    for (int row = 0; row < args.n_rows; ++row) {
        const auto* x = static_cast<const T*>(args.rows[row]);
        const auto* ahead = static_cast<const T*>(args.next[row]);
        const auto by = I::broadcast(args.factors[row]);
        joiner.append(args.n_cols, [&](std::size_t col) {
            prefetch_lanes(ahead + col);
            const std::size_t left = args.n_cols - col;
            return I::mul(left >= kLanes ? load_f64<I, D>(x + col) : load_f64_tail<I, D>(x + col, left), by);
        });
    }
    joiner.finish();
    I::fence();
}

}  // namespace embmath::kernel
