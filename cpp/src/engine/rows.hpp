// Rows of any MatrixView as contiguous, aligned elements: in place where they are, else copied, a
// block at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "embmath/types.hpp"

namespace embmath::engine {

class RowReader {
public:
    // `n_cols`: how many leading columns to read.
    RowReader(const MatrixView& view, std::int64_t n_cols);

    std::int64_t n_rows() const { return view_.n_rows; }
    std::size_t n_cols() const { return n_cols_; }
    Dtype dtype() const { return view_.dtype; }

    // Bytes of scratch that reading `n` rows at once takes; zero where rows are read in place.
    std::size_t scratch_bytes(std::size_t n) const { return is_direct_ ? 0 : n * row_bytes_; }

    const void* row(std::int64_t index, std::byte* scratch) const {
        if (is_direct_) return address(index);
        copy(&index, 1, scratch);
        return scratch;
    }

    // Whether a row holds the very bytes of the one before it; false where that is not cheap to tell.
    bool repeats_previous(std::int64_t index) const;

    // Pointers to `n` rows; those that must be copied are copied together.
    void rows(const std::int64_t* indices, int n, std::byte* scratch, const void** out) const;

private:
    const std::byte* address(std::int64_t index) const {
        return static_cast<const std::byte*>(view_.data) + index * view_.row_stride;
    }
    void copy(const std::int64_t* indices, int n, std::byte* scratch) const;

    MatrixView view_;
    std::size_t n_cols_;
    std::size_t row_bytes_;
    bool is_direct_;
};

}  // namespace embmath::engine
