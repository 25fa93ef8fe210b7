#include <algorithm>

#include "kernel/finish.cuh"
#include "kernel/select.cuh"
#include "kernel/tighten.cuh"
#include "launch/batch.hpp"
#include "launch/prepare.hpp"

namespace embmath::cuda {

namespace {

// For the k best rows.
class TopBatch : public Batch {
public:
    using Batch::Batch;

    void select(const float* products, std::int64_t ld, std::int64_t first, std::int64_t n) const {
        launch<SelectArgs>(&select_tile, {blocks_for(n_, 1), splits(), kSelectThreads, sizeof(SelectShared)}, stream_,
                           {products, ld, first, n, memory_.rows.terms, memory_.lists, permission_});
    }

    void tighten_thresholds(bool is_last) const {
        launch<TightenArgs>(&tighten, {blocks_for(n_, 1), 1, kTightenThreads, 2 * sizeof(SettleScratch)}, stream_,
                            {memory_.lists, is_last ? memory_.rows.range : nullptr});
    }

    void scan() const {
        if (plan_.kind != EMBMATH_PLAN_MATCH) return;
        for (std::int64_t first = 0; first < rows_.n_rows; first += plan_.block_rows) {
            const Plane codes = encode_block(first, std::min(plan_.block_rows, rows_.n_rows - first));
            const unsigned apart = first == 0 ? plan_.seeds_apart : 0;
            if (apart != 0) {
                match_tiles(codes, first, {apart, true}, memory_.lists);
                tighten_thresholds(false);
            }
            match_tiles(codes, first, {apart, false}, memory_.lists);
            if (apart == 0 && first == 0) tighten_thresholds(false);
        }
    }

    void close() const {
        const core::HalfMeasure* measures = memory_.queries.measures;
        if (plan_.kind != EMBMATH_PLAN_EXACT) {
            tighten_thresholds(true);
            visit([&](auto kind) {
                launch<RescoreArgs>(&rescore<decltype(kind)>, {blocks_for(n_, 1), splits(), kRescoreThreads, 0}, stream_,
                                    {queries_, rows_, measures, memory_.lists, metric_, threshold(), counter(0)});
            });
        }
        scan_exactly(memory_.lists);
        std::int64_t* indices = search_.indices + first_ * search_.k;
        launch<FinishArgs>(&finish, {blocks_for(n_, 1), 1, kFinishThreads, finish_bytes(search_.k)}, stream_,
                           {memory_.lists, indices, sort_size(search_.k)});
        visit([&](auto kind) {
            launch<ValuesArgs>(&write_values<decltype(kind)>,
                               {blocks_for(n_ * search_.k, kRescoreRows), 1, kRescoreThreads, 0}, stream_,
                               {queries_, rows_, measures, indices, static_cast<std::uint32_t*>(search_.values) + first_ * search_.k, n_ * search_.k, search_.k, metric_});
        });
    }
};

// Tiles: the caller takes no more queries at a time than a batch holds.
template <class Run>
embmath_cuda_status with_batch(const embmath_search* search, void* workspace, std::size_t bytes, int device, void* stream,
                               const Run& run) {
    return with_search(search, workspace, bytes, device, true, [&](const SearchPlan& plan, const SearchMemory& memory) {
        if (plan.kind != EMBMATH_PLAN_TILES) return static_cast<embmath_cuda_status>(EMBMATH_CUDA_BAD_PLAN);
        if (plan.batch_queries < search->queries.n_rows) return static_cast<embmath_cuda_status>(EMBMATH_CUDA_BAD_SIZE);
        run(TopBatch(*search, plan, memory, 0, static_cast<Stream>(stream)), plan, memory);
        return static_cast<embmath_cuda_status>(EMBMATH_CUDA_OK);
    });
}

}  // namespace

embmath_cuda_status prepare_searches(int device) {
    const auto load_kind = [](auto kind) {
        using Kind = decltype(kind);
        return load(&search_exact<Kind, Lists>, &rescore<Kind>, &write_values<Kind>);
    };
    return first_failure({allow_matches<Lists>(device), each_kind(load_kind), load(&select_tile, &tighten),
                          allow_shared(&finish, finish_bytes(most_results(device)))});
}

}  // namespace embmath::cuda

using namespace embmath;
using namespace embmath::cuda;

extern "C" {

embmath_cuda_status embmath_cuda_search_bytes(const embmath_search* search, int device, size_t* bytes) {
    return bytes_of(*search, device, true, bytes);
}

embmath_cuda_status embmath_cuda_search(const embmath_search* search, void* workspace, size_t bytes, int device, void* stream) {
    return with_search(search, workspace, bytes, device, true, [&](const SearchPlan& plan, const SearchMemory& memory) {
        if (plan.kind == EMBMATH_PLAN_TILES) return static_cast<embmath_cuda_status>(EMBMATH_CUDA_BAD_PLAN);
        for (std::int64_t first = 0; first < search->queries.n_rows; first += plan.batch_queries) {
            const TopBatch batch(*search, plan, memory, first, static_cast<Stream>(stream));
            batch.open();
            batch.scan();
            batch.close();
        }
        return static_cast<embmath_cuda_status>(EMBMATH_CUDA_OK);
    });
}

embmath_cuda_status embmath_cuda_tiles_open(const embmath_search* search, void* workspace, size_t bytes, int device, void* stream,
                                            embmath_tiles* tiles) {
    return with_batch(search, workspace, bytes, device, stream, [&](const TopBatch& batch, const SearchPlan& plan, const SearchMemory& memory) {
        batch.open();
        *tiles = {reinterpret_cast<std::uint16_t*>(memory.queries.codes), reinterpret_cast<std::uint16_t*>(memory.rows.codes),
                  memory.rows.lines.n_bytes / 2, plan.block_rows};
    });
}

embmath_cuda_status embmath_cuda_tiles_encode(const embmath_search* search, void* workspace, size_t bytes, int64_t first, int64_t n,
                                              int device, void* stream) {
    return with_batch(search, workspace, bytes, device, stream,
                      [&](const TopBatch& batch, const SearchPlan&, const SearchMemory&) { batch.encode_block(first, n); });
}

embmath_cuda_status embmath_cuda_tiles_select(const embmath_search* search, void* workspace, size_t bytes, const float* products,
                                              int64_t ld, int64_t first, int64_t n, int device, void* stream) {
    return with_batch(search, workspace, bytes, device, stream, [&](const TopBatch& batch, const SearchPlan&, const SearchMemory&) {
        batch.select(products, ld, first, n);
        if (first == 0) batch.tighten_thresholds(false);
    });
}

embmath_cuda_status embmath_cuda_tiles_close(const embmath_search* search, void* workspace, size_t bytes, int device, void* stream) {
    return with_batch(search, workspace, bytes, device, stream,
                      [&](const TopBatch& batch, const SearchPlan&, const SearchMemory&) { batch.close(); });
}

int64_t embmath_cuda_most_results(int device) { return most_results(device); }

}  // extern "C"
