// Codes of a row as the numbers, or the bits, that they stand for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "embmath/quantize.hpp"
#include "embmath/types.hpp"
#include "kernel/table.hpp"
#include "runtime/memory.hpp"

namespace embmath::engine {

// Parameters of columns as kernels read them: whole vectors.
template <class T>
runtime::AlignedArray<T> padded(const float* from, std::size_t n) {
    runtime::AlignedArray<T> values((n + 15) / 16 * 16);
    std::copy_n(from, n, values.data());
    std::fill(values.data() + n, values.data() + values.size(), T{1});
    return values;
}

class Decoder {
public:
    // The `n_cols` leading columns (bytes of bits) of rows stored as `stored`, as elements of `to`. What
    // `coding` points to stays with the caller.
    Decoder(const kernel::KernelTable& table, const Coding& coding, Dtype stored, std::int64_t n_cols, Dtype to);

    // The type that searches decode to.
    static Dtype natural_type(const Coding& coding) { return coding.kind == Coding::Kind::bits ? Dtype::u8 : Dtype::f32; }

    // Columns of a whole row.
    static std::int64_t columns(const Coding& coding) {
        return coding.kind == Coding::Kind::bits ? (coding.dim + 7) / 8 : coding.dim;
    }

    Dtype dtype() const { return to_; }
    Coding coding() const { return {kind_, static_cast<std::int64_t>(dim_), grid_, flip_}; }
    std::size_t scratch_bytes() const { return is_packed() ? dim_ : 0; }

    // `codes`: the contiguous codes of row `index`.
    void decode(const void* codes, std::int64_t index, std::byte* scratch, void* out) const;

    // Whether equal codes of the two rows mean equal numbers.
    bool shares_grid(std::int64_t row, std::int64_t other) const;

private:
    bool is_packed() const { return kind_ == Coding::Kind::scalar && grid_.format.is_packed; }
    void decode_scalar(const void* codes, std::int64_t index, std::byte* scratch, void* out) const;
    void decode_rotated(const void* codes, std::int64_t index, float* out) const;
    void unflip(const void* codes, void* out) const;

    const kernel::KernelTable& table_;
    Coding::Kind kind_;
    Dtype to_;
    std::size_t n_cols_, dim_;
    CodeGrid grid_;
    std::uint8_t flip_;
    kernel::DecodeFn decode_ = nullptr;
    kernel::DecodeArgs common_{};
    runtime::AlignedArray<double> starts_, steps_;  // of columns, or of all
    RotatedGrid rotated_;
    const float *scale_, *offset_;
    runtime::AlignedArray<float> direction_;
};

}  // namespace embmath::engine
