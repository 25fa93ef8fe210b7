// The certificate laid open, pair by pair, so that tests can hold it against exact arithmetic.
#pragma once

#include <cstdint>
#include <memory>

#include "embmath/index.hpp"
#include "embmath/search.hpp"
#include "engine/rows.hpp"
#include "kernel/table.hpp"

namespace embmath::engine {

// Two float32 matrices [nq][n], in each query's own units, under the gate that a query has once tau
// is the score of its `rank`-th best row (0: the best; beyond the last: not known yet):
//   upper    the bound by which a row is kept or discarded
//   own      the threshold that the row's canonical score would set, were it tau
// The certificate holds iff own <= upper for every pair. Rows that hold NaN get NaN.
struct CertificateOut {
    float* upper;
    float* own;
};

// Throws ValueError where the metric and dtypes have no such stage.
void lay_open(const kernel::KernelTable& table, Metric metric, const RowReader& queries, const RowReader& corpus,
              StageKind kind, std::shared_ptr<const Basis> basis, std::int64_t rank, const CertificateOut& out);

}  // namespace embmath::engine
