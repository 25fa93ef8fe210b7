#include "engine/matrix.hpp"

#include <algorithm>
#include <memory>

#include "engine/grid.hpp"
#include "engine/matrix_batch.hpp"
#include "engine/plan.hpp"
#include "engine/result.hpp"
#include "engine/scorer.hpp"

namespace embmath::engine {

namespace {

constexpr std::int64_t kMatrixBatch = 1024;
constexpr std::int64_t kPairBatch = 256;

double multiply_adds(const MatrixSpec& spec) {
    return static_cast<double>(spec.a.n_rows()) * static_cast<double>(spec.b.n_rows()) * static_cast<double>(spec.a.n_cols());
}

}  // namespace

void score_matrix(const MatrixSpec& spec, const Execution& execution, void* out) {
    const std::int64_t n = spec.b.n_rows();
    if (n == 0 || spec.a.n_rows() == 0) return;
    const std::size_t words = words_per_row(spec.metric, spec.b.n_cols());
    const int chunk_rows = matrix_path(spec.metric, spec.a.dtype(), spec.b.dtype()) == MatrixPath::canonical
                               ? static_cast<int>(std::min<std::int64_t>(n, 256))
                               : static_cast<int>(std::min<std::int64_t>(chunk_rows_for(words), (n + kBlockRows - 1) / kBlockRows * kBlockRows));
    const std::uint64_t panel = static_cast<std::uint64_t>(chunk_rows) * words * sizeof(float);
    require_memory(panel * static_cast<std::uint64_t>(runtime::worker_count(execution, multiply_adds(spec))), "a score matrix: workspace");
    const Grid grid{spec.a.n_rows(), kMatrixBatch, (n + chunk_rows - 1) / chunk_rows,
                    runtime::worker_count(execution, multiply_adds(spec))};
    sweep(grid, execution, [&](std::int64_t batch) {
        const std::int64_t first = batch * kMatrixBatch;
        const auto count = static_cast<int>(std::min(kMatrixBatch, spec.a.n_rows() - first));
        return std::make_unique<MatrixBatch>(spec, chunk_rows, first, count, out);
    });
}

void score_pairs(const MatrixSpec& spec, const Execution& execution, void* out) {
    const std::int64_t n = spec.a.n_rows();
    const double work = static_cast<double>(n) * static_cast<double>(spec.a.n_cols());
    runtime::for_each_task(execution, runtime::worker_count(execution, work), (n + kPairBatch - 1) / kPairBatch,
                           [&](runtime::Worker&, std::int64_t task) {
        const std::int64_t first = task * kPairBatch;
        const std::int64_t count = std::min(kPairBatch, n - first);
        const Scorer scorer(spec.table, spec.metric, spec.a, first, count, spec.b.dtype());
        runtime::AlignedArray<std::byte> scratch(spec.b.scratch_bytes(1));
        for (std::int64_t i = 0; i < count; ++i) {
            const double value = scorer.value(i, spec.b.row(first + i, scratch.data()));
            store_result(scorer.type(), out, static_cast<std::size_t>(first + i),
                         spec.orientation.alpha * value + spec.orientation.beta);
        }
    });
}

}  // namespace embmath::engine
