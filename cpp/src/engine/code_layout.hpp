// Codes as they are stored: which bits of a row belong to which column, and which byte of a query's
// digits goes with them (kernel/table.hpp, CodeScanArgs).
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/rows.hpp"
#include "kernel/table.hpp"
#include "runtime/memory.hpp"

namespace embmath::engine {

// Where the codes of the leading columns of a row lie.
struct CodeLayout {
    CodeLayout(const RowReader& rows, std::int64_t n_cols);

    // Of a query's digits: which byte of its lane goes with a column.
    std::size_t query_byte(std::size_t col) const;

    kernel::CodeScan form;
    NibbleLayout nibbles;
    std::uint8_t flip;       // makes codes unsigned
    int parts;               // codes in a byte
    int middle;              // core/decoded_bounds.hpp: k
    std::size_t dim;         // of a whole row
    std::size_t n_bytes = 0; // of a row that hold a code
    runtime::AlignedArray<std::uint8_t> mask;  // which bits of those are one

private:
    struct Place {
        std::size_t byte;
        int part;
    };
    Place place(std::size_t col) const;
};

}  // namespace embmath::engine
