// Blocks of 16 packed rows with what the bounds need to know about each.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/panel.hpp"
#include "engine/rows.hpp"
#include "kernel/table.hpp"
#include "runtime/memory.hpp"

namespace embmath::engine {

// What a block is packed for. `scaled` rows are multiplied by powers of two where float32 sums could
// overflow or underflow; differences of rows need common units, hence `plain`.
enum class PackMode : std::uint8_t { scaled, plain, bits };

struct BlockStats {
    alignas(64) float sq_norm[kBlockRows];  // of the packed (scaled) row
    alignas(64) float max_abs[kBlockRows];
    int exponent[kBlockRows];               // stored row = 2^exponent * packed row
};

class Packer {
public:
    Packer(const kernel::KernelTable& table, const RowReader& reader, PackMode mode);

    // 32-bit words per row.
    std::size_t n_steps() const { return n_steps_; }
    std::size_t block_words() const { return n_steps_ * kBlockRows; }

    // Packs `n` <= 16 rows. With PackMode::bits, `stats` is left untouched.
    void pack(const std::int64_t* rows, int n, float* block, BlockStats& stats);

    const RowReader& reader() const { return reader_; }

    // The rows of the last pack() call, contiguous.
    const void* row(int lane) const { return rows_[lane]; }

private:
    bool choose_scales(int n, const BlockStats& stats, double* scale, int* exponent) const;

    const kernel::KernelTable& table_;
    const RowReader& reader_;
    PackMode mode_;
    std::size_t n_steps_;
    runtime::AlignedArray<std::byte> scratch_;
    const void* rows_[kBlockRows] = {};
};

}  // namespace embmath::engine
