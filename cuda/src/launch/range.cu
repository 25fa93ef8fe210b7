#include <algorithm>
#include <cmath>

#include "kernel/score_hits.cuh"
#include "launch/batch.hpp"
#include "launch/prepare.hpp"

namespace embmath::cuda {

namespace {

// For every row within the threshold.
class RangeBatch : public Batch {
public:
    RangeBatch(const Batch& batch, const embmath_hits& hits)
        : Batch(batch),
          values_(static_cast<std::uint32_t*>(hits.values)),
          hits_{reinterpret_cast<unsigned long long*>(hits.pairs), reinterpret_cast<unsigned long long*>(hits.count), hits.capacity,
                static_cast<std::uint32_t>(first_), memory_.least, memory_.is_exact, plan_.n_splits} {}

    void scan() const {
        if (plan_.kind == EMBMATH_PLAN_EXACT) return;
        for (std::int64_t first = 0; first < rows_.n_rows; first += plan_.block_rows) {
            const Plane codes = encode_block(first, std::min(plan_.block_rows, rows_.n_rows - first));
            launch<LeastArgs>(&find_least, {blocks_for(n_, kGateThreads), 1, kGateThreads, 0}, stream_,
                              {memory_.queries.measures, codes.range, memory_.least, n_, metric_, search_.threshold});
            match_tiles(codes, first, {}, hits_);
        }
    }

    void close() const {
        score(false);
        scan_exactly(hits_);
        score(true);
    }

private:
    void score(bool has_scanned) const {
        visit([&](auto kind) {
            const unsigned n_blocks = std::clamp(blocks_for(hits_.capacity, kRescoreRows), 1u, kScoreBlocks);
            launch<ScoreHitsArgs>(&score_hits<decltype(kind)>, {n_blocks, 1, kRescoreThreads, 0}, stream_,
                                  {queries_, rows_, memory_.queries.measures, hits_, values_, metric_, threshold(), has_scanned});
        });
    }

    std::uint32_t* values_;
    Hits hits_;
};

}  // namespace

embmath_cuda_status prepare_ranges(int device) {
    const auto load_kind = [](auto kind) {
        using Kind = decltype(kind);
        return load(&search_exact<Kind, Hits>, &score_hits<Kind>);
    };
    return first_failure({allow_matches<Hits>(device), each_kind(load_kind), load(&find_least)});
}

}  // namespace embmath::cuda

using namespace embmath;
using namespace embmath::cuda;

extern "C" {

embmath_cuda_status embmath_cuda_range_bytes(const embmath_search* search, int device, size_t* bytes) {
    return bytes_of(*search, device, false, bytes);
}

embmath_cuda_status embmath_cuda_range_search(const embmath_search* search, const embmath_hits* hits, void* workspace, size_t bytes,
                                              int device, void* stream) {
    if (hits->capacity < 0) return EMBMATH_CUDA_BAD_SIZE;
    if (std::isnan(search->threshold)) return EMBMATH_CUDA_BAD_THRESHOLD;
    return with_search(search, workspace, bytes, device, false, [&](const SearchPlan& plan, const SearchMemory& memory) {
        if (plan.kind == EMBMATH_PLAN_TILES) return static_cast<embmath_cuda_status>(EMBMATH_CUDA_BAD_PLAN);
        for (std::int64_t first = 0; first < search->queries.n_rows; first += plan.batch_queries) {
            const RangeBatch batch(Batch(*search, plan, memory, first, static_cast<Stream>(stream)), *hits);
            batch.open();
            batch.scan();
            batch.close();
        }
        return static_cast<embmath_cuda_status>(EMBMATH_CUDA_OK);
    });
}

}  // extern "C"
