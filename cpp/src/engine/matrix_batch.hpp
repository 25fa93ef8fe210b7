// A batch of rows of `a` against chunks of rows of `b`, written into the result matrix. Three ways:
//
//   float32   the tile's sums, finished in float32; pairs whose sum left the safe range of float32
//             are scored canonically instead
//   exact     int8, uint8 and packed bits: tile sums over at most 256 dimensions are exact integers
//             in float32 (255^2 * 256 < 2^24) and are added up in int64
//   canonical float64 input: every pair in float64
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/matrix.hpp"
#include "engine/packing.hpp"
#include "engine/scorer.hpp"
#include "runtime/memory.hpp"
#include "runtime/parallel.hpp"

namespace embmath::engine {

enum class MatrixPath : std::uint8_t { float32, exact, canonical };

MatrixPath matrix_path(Metric metric, Dtype a, Dtype b);

class MatrixBatch {
public:
    MatrixBatch(const MatrixSpec& spec, int chunk_rows, std::int64_t first, int count, void* out);

    struct State {
        std::optional<Packer> packer;
        runtime::AlignedArray<float> blocks;
        runtime::AlignedArray<float> mul;           // float32: per column
        runtime::AlignedArray<double> sq_norms;     // exact: per column
        runtime::AlignedArray<float> scores;        // tile sums of 8 rows of a
        runtime::AlignedArray<std::int64_t> totals; // exact: the same, added up
        runtime::AlignedArray<std::byte> scratch;
    };

    int n_queries() const { return count_; }
    void prepare(const Execution&, int) {}
    std::unique_ptr<State> make_state() const;
    void scan(State& state, runtime::Worker& worker, std::int64_t chunk);
    void finish(int, std::vector<std::unique_ptr<State>>&) {}

private:
    void pack_queries();
    void pack_chunk(State& state, std::int64_t begin, int n) const;
    void sums(const State& state, int first, int n, int n_rows, std::size_t step, std::size_t n_steps, float* scores) const;
    void write_float32(State& state, int first, int n, std::int64_t begin, int n_rows) const;
    void write_exact(State& state, int first, int n, std::int64_t begin, int n_rows) const;
    void write_canonical(State& state, runtime::Worker& worker, std::int64_t begin, int n_rows) const;
    void repair(State& state, const float* sums, int query, std::int64_t begin, int n_rows) const;
    double exact_value(double sum, int query, double sq_norm) const;
    double oriented(double value) const { return spec_.orientation.alpha * value + spec_.orientation.beta; }
    std::size_t element(int query, std::int64_t row) const {
        return static_cast<std::size_t>((first_ + query) * spec_.b.n_rows() + row);
    }

    const MatrixSpec& spec_;
    int chunk_rows_;
    std::int64_t first_;
    int count_;
    void* out_;
    MatrixPath path_;
    std::optional<Scorer> scorer_;  // but for the float32 path, which rarely needs one
    std::size_t n_steps_ = 0;
    runtime::AlignedArray<float> queries_;
    std::vector<float> query_mul_;
    kernel::TileFn tile_ = nullptr;
    kernel::FinishFn finish_ = nullptr;
};

}  // namespace embmath::engine
