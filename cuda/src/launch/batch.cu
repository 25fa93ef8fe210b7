#include "launch/batch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernel/open.cuh"
#include "launch/prepare.hpp"

namespace embmath::cuda {

Batch::Batch(const embmath_search& search, const SearchPlan& plan, const SearchMemory& memory, std::int64_t first, Stream stream)
    : search_(search),
      plan_(plan),
      memory_(memory),
      first_(first),
      n_(std::min(plan.batch_queries, search.queries.n_rows - first)),
      stream_(stream),
      metric_(static_cast<Metric>(search.metric)),
      queries_(part_of(rows_of(search.queries), first, n_)),
      rows_(rows_of(search.corpus)) {
    permission_.mask = search.mask == nullptr ? nullptr : search.mask + first * search.mask_stride;
    permission_.mask_stride = search.mask_stride;
    permission_.self = search.self < 0 ? -1 : search.self + first;
}

void Batch::open() const {
    launch<OpenArgs>(&open_lists, {blocks_for(n_ * plan_.n_splits, kOpenThreads), 1, kOpenThreads, 0}, stream_,
                     {memory_.lists, memory_.is_exact, n_, plan_.kind == EMBMATH_PLAN_EXACT ? 1u : 0u});
    if (plan_.kind != EMBMATH_PLAN_EXACT && search_.plane == nullptr) reset_range(memory_.rows, stream_);
    encode_rows(queries_, search_.queries.dtype, memory_.queries, metric_, false, stream_);
}

Plane Batch::encode_block(std::int64_t first, std::int64_t n) const {
    Plane codes = memory_.rows;
    codes.lines.n = n;
    if (codes.codes == nullptr) codes.lines.data += first * codes.lines.stride;
    if (search_.plane == nullptr) encode_rows(part_of(rows_, first, n), search_.corpus.dtype, codes, metric_, true, stream_);
    const bool has_exact_sums = visit([](auto kind) { return decltype(kind)::Code::has_exact_sums; });
    const double product_error = has_exact_sums ? 0.0 : core::half_product_error(rows_.n_cols);
    launch<GateArgs>(&make_gates, {blocks_for(n_, kGateThreads), 1, kGateThreads, 0}, stream_,
                     {memory_.queries.measures, codes.range, memory_.gates, memory_.is_exact, n_, product_error, metric_});
    return codes;
}

Threshold Batch::threshold() const {
    if (std::isnan(search_.threshold)) return {-std::numeric_limits<double>::infinity(), false};
    return {core::is_similarity(metric_) ? search_.threshold : -search_.threshold, true};
}

embmath_cuda_status prepare_batches() { return load(&open_lists, &make_gates); }

}  // namespace embmath::cuda
