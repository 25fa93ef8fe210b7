// The certificate laid open, pair by pair, so that tests can hold it against exact arithmetic.
#pragma once

#include <cstdint>

#include "engine/rows.hpp"
#include "kernel/table.hpp"

namespace embmath::engine {

// Three float32 matrices [nq][n], in each query's own units:
//   upper    the bound by which a row is kept or discarded
//   own      the threshold that the row's canonical score would set, were it tau
//   proven   the threshold that the row's bound proves
// The certificate holds iff proven <= own <= upper for every pair. Rows that hold NaN get NaN.
struct CertificateOut {
    float* upper;
    float* own;
    float* proven;
};

// Throws ValueError where the metric and dtypes have no certified stage.
void lay_open(const kernel::KernelTable& table, Metric metric, const RowReader& queries, const RowReader& corpus,
              const CertificateOut& out);

}  // namespace embmath::engine
