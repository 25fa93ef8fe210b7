// Rows as contiguous, aligned elements: of any MatrixView, in place where they are, else copied, a
// block at a time; of codes, decoded likewise; or of an index, wherever its rows lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "embmath/types.hpp"
#include "engine/decoder.hpp"

namespace embmath::engine {

// Rows by pointer, page by page: what an index hands to a search.
struct PagedRows {
    const void* const* const* rows;      // [page][row of page]
    const std::int64_t* const* ids;      // likewise
    std::int64_t page_rows;
    std::int64_t n_rows;
    std::int64_t n_cols;
    Dtype dtype;
};

class RowReader {
public:
    // `n_cols`: how many leading columns to read.
    RowReader(const MatrixView& view, std::int64_t n_cols);
    explicit RowReader(const PagedRows& pages);
    // Rows of `codes` as what they stand for.
    RowReader(const MatrixView& codes, std::int64_t n_cols, std::shared_ptr<const Decoder> decoder);

    std::int64_t n_rows() const { return view_.n_rows; }
    std::size_t n_cols() const { return n_cols_; }
    Dtype dtype() const { return decoder_ ? decoder_->dtype() : view_.dtype; }

    // What a row is called in results: its position, or the id that an index gave it.
    std::int64_t id(std::int64_t index) const {
        return is_paged() ? pages_.ids[index / pages_.page_rows][index % pages_.page_rows] : index;
    }

    // Bytes of scratch that reading `n` rows at once takes; zero where rows are read in place.
    std::size_t scratch_bytes(std::size_t n) const { return is_direct_ ? 0 : n * row_bytes_ + extra_bytes_; }

    const void* row(std::int64_t index, std::byte* scratch) const {
        if (is_direct_) return address(index);
        copy(&index, 1, scratch);
        return scratch;
    }

    // Whether a row holds the very bytes of the one before it; false where that is not cheap to tell.
    bool repeats_previous(std::int64_t index) const;

    // Pointers to `n` rows; those that must be copied are copied together.
    void rows(const std::int64_t* indices, int n, std::byte* scratch, const void** out) const;

    // Whether rows are read in place.
    bool is_direct() const { return is_direct_; }

    // Of codes whose rows are contiguous: what they mean, and where they lie.
    bool has_codes() const { return decoder_ != nullptr && is_contiguous_; }
    const Decoder* decoder() const { return decoder_.get(); }
    Dtype stored_dtype() const { return view_.dtype; }
    const void* codes(std::int64_t index) const { return address(index); }

    // Where a row that is read in place lies; null for one that must be copied.
    const void* direct(std::int64_t index) const { return is_direct_ ? address(index) : nullptr; }

private:
    bool is_paged() const { return pages_.rows != nullptr; }
    const std::byte* address(std::int64_t index) const {
        if (is_paged()) {
            return static_cast<const std::byte*>(pages_.rows[index / pages_.page_rows][index % pages_.page_rows]);
        }
        return static_cast<const std::byte*>(view_.data) + index * view_.row_stride;
    }
    void copy(const std::int64_t* indices, int n, std::byte* scratch) const;
    void decode(const std::int64_t* indices, int n, std::byte* scratch) const;

    MatrixView view_;
    PagedRows pages_{};
    std::size_t n_cols_;
    std::size_t row_bytes_;
    std::size_t extra_bytes_ = 0;  // scratch behind the rows: what decoding takes
    bool is_direct_;
    bool is_contiguous_ = true;    // of codes: the elements of a row
    std::shared_ptr<const Decoder> decoder_;
};

}  // namespace embmath::engine
