// Coordinates in which a few leading ones say most: x becomes V (x - mean).
#pragma once

#include <cstdint>
#include <vector>

#include "embmath/index.hpp"
#include "engine/rows.hpp"
#include "kernel/table.hpp"
#include "runtime/memory.hpp"

namespace embmath::engine {

class Rotation {
public:
    // Throws ValueError where the rows of V are not orthonormal.
    Rotation(const kernel::KernelTable& table, const Basis& basis);

    std::int64_t n_cols() const { return n_cols_; }
    std::int64_t n_coords() const { return n_coords_; }
    double eps() const { return eps_; }              // |V V^T - I|, rounded up
    const std::vector<double>& mean() const { return mean_; }
    double mean_norm() const { return mean_norm_; }  // rounded up
    double spread(std::int64_t coord) const { return spread_[static_cast<std::size_t>(coord)]; }

    // y[coord][n_blocks * 16] = V x' of packed blocks [n_cols][16].
    void apply(const kernel::KernelTable& table, const float* blocks, int n_blocks, std::int64_t n_coords, float* y) const;

private:
    std::int64_t n_cols_, n_coords_;
    std::vector<double> mean_, spread_;
    double mean_norm_ = 0.0, eps_ = 0.0;
    runtime::AlignedArray<float> packed_;  // [n_coords / 16][n_cols][16]
};

double length(const double* x, std::size_t n);

// Reads vectors, scales and centres them in float64, and rotates up to kBatch at a time.
class Rotator {
public:
    static constexpr int kBlocks = 6, kBatch = kBlocks * kernel::kBlockRows;

    Rotator(const kernel::KernelTable& table, const Rotation& rotation, const RowReader& rows, std::int64_t n_coords);

    struct Centred {
        double sq_norm;      // |x'|^2
        double along_mean;   // <m,x'>
    };

    // A row in float64, valid until the next is read.
    const double* read(std::int64_t row);
    // Lane `lane` of the batch becomes x' = scale x - mean_scale m.
    Centred put(int lane, const double* x, double scale, double mean_scale);
    void clear(int lane);
    // Rotates the first `n` lanes.
    void run(int n);

    // Coordinate j of lane l: y()[j * stride() + l].
    const float* y() const { return y_.data(); }
    std::size_t stride() const { return stride_; }

private:
    const kernel::KernelTable& table_;
    const Rotation& rotation_;
    const RowReader& rows_;
    std::int64_t n_coords_;
    std::size_t stride_ = kBatch;
    runtime::AlignedArray<float> blocks_, y_;
    runtime::AlignedArray<double> wide_;
    runtime::AlignedArray<std::byte> scratch_;
};

}  // namespace embmath::engine
