#include "engine/rows.hpp"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/dtype.hpp"

namespace embmath::engine {

namespace {

// Elements may be misaligned, hence memcpy of a constant size.
template <std::size_t Size>
void copy_elements(const std::byte* from, std::int64_t stride, std::byte* to, std::int64_t to_stride, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) std::memcpy(to + i * to_stride, from + i * stride, Size);
}

void copy_strided(std::size_t size, const std::byte* from, std::int64_t stride, std::byte* to, std::int64_t to_stride,
                  std::int64_t n) {
    switch (size) {
        case 1: return copy_elements<1>(from, stride, to, to_stride, n);
        case 2: return copy_elements<2>(from, stride, to, to_stride, n);
        case 4: return copy_elements<4>(from, stride, to, to_stride, n);
        default: return copy_elements<8>(from, stride, to, to_stride, n);
    }
}

bool are_consecutive(const std::int64_t* indices, int n) {
    for (int i = 1; i < n; ++i) {
        if (indices[i] != indices[0] + i) return false;
    }
    return true;
}

// Rows are mostly read in order, and decoding one takes longer than its codes take to come, if they are
// asked for in time (one query, 100k x 768 int8: 9 instead of 15 ms).
void prefetch_codes(const std::byte* row, std::int64_t n_bytes) {
    constexpr std::int64_t kAhead = 12 << 10, kLine = 64;
    for (std::int64_t byte = 0; byte < n_bytes; byte += kLine) __builtin_prefetch(row + kAhead + byte, 0, 2);
}

}  // namespace

RowReader::RowReader(const MatrixView& view, std::int64_t n_cols)
    : view_(view), n_cols_(static_cast<std::size_t>(n_cols)), row_bytes_(n_cols_ * core::size_of(view.dtype)) {
    const auto size = static_cast<std::int64_t>(core::size_of(view.dtype));
    const bool is_aligned = reinterpret_cast<std::uintptr_t>(view.data) % static_cast<std::size_t>(size) == 0 &&
                            view.row_stride % size == 0;
    is_direct_ = is_aligned && (view.col_stride == size || n_cols <= 1);
}

RowReader::RowReader(const PagedRows& pages)
    : pages_(pages),
      n_cols_(static_cast<std::size_t>(pages.n_cols)),
      row_bytes_(n_cols_ * core::size_of(pages.dtype)),
      is_direct_(true) {
    view_.n_rows = pages.n_rows;
    view_.n_cols = pages.n_cols;
    view_.dtype = pages.dtype;
}

RowReader::RowReader(const MatrixView& codes, std::int64_t n_cols, std::shared_ptr<const Decoder> decoder)
    : view_(codes),
      n_cols_(static_cast<std::size_t>(n_cols)),
      row_bytes_(n_cols_ * core::size_of(decoder->dtype())),
      is_direct_(false),
      is_contiguous_(codes.col_stride == 1 || codes.n_cols <= 1),
      decoder_(std::move(decoder)) {
    extra_bytes_ = decoder_->scratch_bytes() + (is_contiguous_ ? 0 : static_cast<std::size_t>(codes.n_cols));
}

bool RowReader::repeats_previous(std::int64_t index) const {
    if (index <= 0 || !(decoder_ ? is_contiguous_ : is_direct_)) return false;
    const std::size_t n_bytes = decoder_ ? static_cast<std::size_t>(view_.n_cols) : row_bytes_;
    return std::memcmp(address(index), address(index - 1), n_bytes) == 0 &&
           (!decoder_ || decoder_->shares_grid(index, index - 1));
}

void RowReader::rows(const std::int64_t* indices, int n, std::byte* scratch, const void** out) const {
    if (!is_direct_) {
        copy(indices, n, scratch);
        for (int i = 0; i < n; ++i) out[i] = scratch + static_cast<std::size_t>(i) * row_bytes_;
    } else if (is_paged()) {
        for (int i = 0; i < n; ++i) out[i] = address(indices[i]);
    } else {
        const auto* data = static_cast<const std::byte*>(view_.data);
        for (int i = 0; i < n; ++i) out[i] = data + indices[i] * view_.row_stride;
    }
}

// Codes that are not contiguous are first copied behind the decoder's own scratch.
void RowReader::decode(const std::int64_t* indices, int n, std::byte* scratch) const {
    std::byte* own = scratch + static_cast<std::size_t>(n) * row_bytes_;
    std::byte* codes = own + decoder_->scratch_bytes();
    for (int i = 0; i < n; ++i) {
        const std::byte* row = address(indices[i]);
        prefetch_codes(row, view_.n_cols);
        if (!is_contiguous_) copy_elements<1>(row, view_.col_stride, codes, 1, view_.n_cols);
        decoder_->decode(is_contiguous_ ? row : codes, indices[i], own, scratch + static_cast<std::size_t>(i) * row_bytes_);
    }
}

void RowReader::copy(const std::int64_t* indices, int n, std::byte* scratch) const {
    if (decoder_) return decode(indices, n, scratch);
    const std::size_t size = core::size_of(view_.dtype);
    const auto n_cols = static_cast<std::int64_t>(n_cols_);
    const auto row_bytes = static_cast<std::int64_t>(row_bytes_);
    if (n > 1 && are_consecutive(indices, n) && std::abs(view_.row_stride) < std::abs(view_.col_stride)) {
        // Column-major: neighbours in memory are neighbouring rows of one column.
        for (std::int64_t col = 0; col < n_cols; ++col) {
            copy_strided(size, address(indices[0]) + col * view_.col_stride, view_.row_stride,
                         scratch + col * static_cast<std::int64_t>(size), row_bytes, n);
        }
        return;
    }
    for (int i = 0; i < n; ++i) {
        copy_strided(size, address(indices[i]), view_.col_stride, scratch + i * row_bytes,
                     static_cast<std::int64_t>(size), n_cols);
    }
}

}  // namespace embmath::engine
