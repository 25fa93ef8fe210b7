#include "engine/matrix_batch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/dtype.hpp"
#include "engine/result.hpp"

namespace embmath::engine {

namespace {

using kernel::FinishOp;
using kernel::TileOp;

constexpr int kTileQueries = kernel::kTileQueries;
constexpr std::size_t kExactSteps = 256;

TileOp tile_op(Metric metric) {
    switch (metric) {
        case Metric::euclidean:
        case Metric::sqeuclidean: return TileOp::sqdiff;
        case Metric::manhattan: return TileOp::absdiff;
        case Metric::hamming: return TileOp::xor_count;
        case Metric::jaccard: return TileOp::and_count;
        default: return TileOp::dot;
    }
}

FinishOp finish_op(Metric metric) {
    switch (metric) {
        case Metric::cosine: return FinishOp::clamped;
        case Metric::dot: return FinishOp::scaled;
        case Metric::euclidean: return FinishOp::root;
        default: return FinishOp::plain;
    }
}

bool is_difference(Metric metric) {
    return metric == Metric::euclidean || metric == Metric::sqeuclidean || metric == Metric::manhattan;
}

PackMode pack_mode(Metric metric) {
    return is_bits(metric) ? PackMode::bits : is_difference(metric) ? PackMode::plain : PackMode::scaled;
}

// Undoes the scaling of a packed row; cosine divides by its norm instead.
float row_factor(Metric metric, const BlockStats& stats, int lane) {
    if (metric == Metric::cosine) return stats.sq_norm[lane] == 0.0F ? 0.0F : 1.0F / std::sqrt(stats.sq_norm[lane]);
    return metric == Metric::dot ? std::ldexp(1.0F, stats.exponent[lane]) : 1.0F;
}

// The finish kernels' test, for one element.
bool is_suspect(Metric metric, float sum, float factor) {
    if (is_difference(metric)) return !(sum >= kernel::kLeastDifference && sum < kernel::kMostDifference);
    const float magnitude = std::abs(sum * factor);
    return !(magnitude <= std::numeric_limits<float>::max()) || (magnitude < kernel::kTinyProduct && sum != 0.0F);
}

}  // namespace

MatrixPath matrix_path(Metric metric, Dtype a, Dtype b) {
    if (a == Dtype::f64 || b == Dtype::f64) return MatrixPath::canonical;
    return is_bits(metric) || core::is_integer(a) ? MatrixPath::exact : MatrixPath::float32;
}

MatrixBatch::MatrixBatch(const MatrixSpec& spec, int chunk_rows, std::int64_t first, int count, void* out)
    : spec_(spec),
      chunk_rows_(chunk_rows),
      first_(first),
      count_(count),
      out_(out),
      path_(matrix_path(spec.metric, spec.a.dtype(), spec.b.dtype())) {
    if (path_ != MatrixPath::float32) scorer_.emplace(spec.table, spec.metric, spec.a, first, count, spec.b.dtype());
    if (path_ == MatrixPath::canonical) return;
    tile_ = spec.table.tile[static_cast<int>(tile_op(spec.metric))];
    finish_ = spec.table.finish[static_cast<int>(finish_op(spec.metric))];
    pack_queries();
}

void MatrixBatch::pack_queries() {
    Packer packer(spec_.table, spec_.a, pack_mode(spec_.metric));
    n_steps_ = packer.n_steps();
    const int n_blocks = (count_ + kBlockRows - 1) / kBlockRows;
    queries_ = runtime::AlignedArray<float>(static_cast<std::size_t>(n_blocks) * packer.block_words());
    BlockStats stats{};
    for (int block = 0; block < n_blocks; ++block) {
        std::int64_t rows[kBlockRows];
        const int n = std::min(kBlockRows, count_ - block * kBlockRows);
        for (int lane = 0; lane < n; ++lane) rows[lane] = first_ + block * kBlockRows + lane;
        packer.pack(rows, n, queries_.data() + static_cast<std::size_t>(block) * packer.block_words(), stats);
        for (int lane = 0; lane < n; ++lane) query_mul_.push_back(row_factor(spec_.metric, stats, lane));
    }
}

std::unique_ptr<MatrixBatch::State> MatrixBatch::make_state() const {
    auto state = std::make_unique<State>();
    const auto rows = static_cast<std::size_t>((chunk_rows_ + kBlockRows - 1) / kBlockRows * kBlockRows);
    state->scratch = runtime::AlignedArray<std::byte>(spec_.b.scratch_bytes(1));
    if (path_ == MatrixPath::canonical) return state;
    state->packer.emplace(spec_.table, spec_.b, pack_mode(spec_.metric));
    state->blocks = runtime::AlignedArray<float>(rows * n_steps_);
    state->mul = runtime::AlignedArray<float>(rows);
    state->scores = runtime::AlignedArray<float>(kTileQueries * rows);
    if (path_ == MatrixPath::exact) {
        state->sq_norms = runtime::AlignedArray<double>(rows);
        state->totals = runtime::AlignedArray<std::int64_t>(kTileQueries * rows);
    }
    return state;
}

void MatrixBatch::scan(State& state, runtime::Worker& worker, std::int64_t chunk) {
    const std::int64_t begin = chunk * chunk_rows_;
    const int n_rows = static_cast<int>(std::min<std::int64_t>(chunk_rows_, spec_.b.n_rows() - begin));
    worker.checkpoint();
    if (path_ == MatrixPath::canonical) {
        write_canonical(state, worker, begin, n_rows);
        return;
    }
    pack_chunk(state, begin, n_rows);
    for (int first = 0; first < count_; first += kTileQueries) {
        worker.checkpoint();
        const int n = std::min(kTileQueries, count_ - first);
        if (path_ == MatrixPath::float32) {
            write_float32(state, first, n, begin, n_rows);
        } else {
            write_exact(state, first, n, begin, n_rows);
        }
    }
}

void MatrixBatch::pack_chunk(State& state, std::int64_t begin, int n) const {
    BlockStats stats{};
    for (int first = 0; first < n; first += kBlockRows) {
        const int rows_here = std::min(kBlockRows, n - first);
        std::int64_t rows[kBlockRows];
        for (int lane = 0; lane < rows_here; ++lane) rows[lane] = begin + first + lane;
        state.packer->pack(rows, rows_here, state.blocks.data() + static_cast<std::size_t>(first) * n_steps_, stats);
        for (int lane = 0; lane < rows_here; ++lane) {
            const auto col = static_cast<std::size_t>(first + lane);
            if (path_ == MatrixPath::float32) {
                state.mul[col] = row_factor(spec_.metric, stats, lane);
            } else {
                state.sq_norms[col] =
                    sq_norm(spec_.table, spec_.metric, spec_.b.dtype(), state.packer->row(lane), spec_.b.n_cols());
            }
        }
    }
}

void MatrixBatch::sums(const State& state, int first, int n, int n_rows, std::size_t step, std::size_t n_steps,
                       float* scores) const {
    const std::size_t block_words = n_steps_ * kBlockRows;
    const std::size_t offset = step * kBlockRows;
    const float* queries = queries_.data() + static_cast<std::size_t>(first / kBlockRows) * block_words + offset + first % kBlockRows;
    const int n_blocks = (n_rows + kBlockRows - 1) / kBlockRows;
    tile_({queries, n, state.blocks.data() + offset, static_cast<std::size_t>(n_blocks), block_words, n_steps, nullptr, scores,
           static_cast<std::size_t>(chunk_rows_)});
}

void MatrixBatch::write_float32(State& state, int first, int n, std::int64_t begin, int n_rows) const {
    sums(state, first, n, n_rows, 0, n_steps_, state.scores.data());
    for (int i = 0; i < n; ++i) {
        const float* row_sums = state.scores.data() + i * chunk_rows_;
        float* out = static_cast<float*>(out_) + element(first + i, begin);
        const float factor = query_mul_[static_cast<std::size_t>(first + i)];
        const bool has_suspects =
            finish_({row_sums, static_cast<std::size_t>(n_rows), state.mul.data(), factor,
                     static_cast<float>(spec_.orientation.alpha), static_cast<float>(spec_.orientation.beta), out});
        if (has_suspects) repair(state, row_sums, first + i, begin, n_rows);
    }
}

// Scores again in float64 what the finish kernel suspects. Equal rows (a difference of 0) count.
void MatrixBatch::repair(State& state, const float* sums, int query, std::int64_t begin, int n_rows) const {
    const Scorer scorer(spec_.table, spec_.metric, spec_.a, first_ + query, 1, spec_.b.dtype());
    for (int col = 0; col < n_rows; ++col) {
        const float factor = state.mul[static_cast<std::size_t>(col)] * query_mul_[static_cast<std::size_t>(query)];
        if (!is_suspect(spec_.metric, sums[col], factor)) continue;
        const double value = scorer.value(0, spec_.b.row(begin + col, state.scratch.data()));
        store_result(ResultType::f32, out_, element(query, begin + col), oriented(value));
    }
}

void MatrixBatch::write_canonical(State& state, runtime::Worker& worker, std::int64_t begin, int n_rows) const {
    for (int col = 0; col < n_rows; ++col) {
        const std::int64_t row = begin + col;
        if (col % 16 == 0) worker.checkpoint();
        const void* data = spec_.b.row(row, state.scratch.data());
        for (int query = 0; query < count_; ++query) {
            static_cast<double*>(out_)[element(query, row)] = oriented(scorer_->value(query, data));
        }
    }
}

double MatrixBatch::exact_value(double sum, int query, double sq_norm) const {
    switch (spec_.metric) {
        case Metric::cosine: {
            const double norms = std::sqrt(scorer_->sq_norm(query)) * std::sqrt(sq_norm);
            return norms == 0.0 ? 0.0 : std::clamp(sum / norms, -1.0, 1.0);
        }
        case Metric::euclidean: return std::sqrt(sum);
        case Metric::jaccard: {
            const double either = scorer_->sq_norm(query) + sq_norm - sum;
            return either == 0.0 ? 0.0 : 1.0 - sum / either;
        }
        default: return sum;
    }
}

void MatrixBatch::write_exact(State& state, int first, int n, std::int64_t begin, int n_rows) const {
    const auto used = static_cast<std::size_t>(n_rows);
    std::fill_n(state.totals.data(), static_cast<std::size_t>(n * chunk_rows_), 0);
    for (std::size_t step = 0; step < n_steps_; step += kExactSteps) {
        sums(state, first, n, n_rows, step, std::min(kExactSteps, n_steps_ - step), state.scores.data());
        for (int i = 0; i < n; ++i) {
            const float* sums = state.scores.data() + i * chunk_rows_;
            std::int64_t* totals = state.totals.data() + i * chunk_rows_;
            if (is_bits(spec_.metric)) {
                const auto* counts = reinterpret_cast<const std::int32_t*>(sums);
                for (std::size_t col = 0; col < used; ++col) totals[col] += counts[col];
            } else {
                for (std::size_t col = 0; col < used; ++col) totals[col] += static_cast<std::int32_t>(sums[col]);
            }
        }
    }
    visit_result(scorer_->type(), [&](auto zero) {
        using Value = decltype(zero);
        for (int i = 0; i < n; ++i) {
            Value* out = static_cast<Value*>(out_) + element(first + i, begin);
            for (int col = 0; col < n_rows; ++col) {
                const auto sum = static_cast<double>(state.totals[static_cast<std::size_t>(i * chunk_rows_ + col)]);
                const double value = exact_value(sum, first + i, state.sq_norms[static_cast<std::size_t>(col)]);
                out[col] = static_cast<Value>(oriented(value));
            }
        }
    });
}

}  // namespace embmath::engine
