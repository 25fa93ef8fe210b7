#include "launch/search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernel/exact.cuh"
#include "kernel/finish.cuh"
#include "kernel/match.cuh"
#include "kernel/open.cuh"
#include "kernel/select.cuh"
#include "launch/device.hpp"
#include "launch/kinds.hpp"
#include "launch/plane.hpp"

namespace embmath::cuda {

namespace {

// One batch of queries on its way through the corpus: a sequence of launches.
class Batch {
    // Calls with the kind of the corpus.
    template <class Call>
    decltype(auto) visit(const Call& call) const {
        return visit_kind(search_.corpus.dtype, metric_, call);
    }

public:
    Batch(const embmath_search& search, const SearchPlan& plan, const SearchMemory& memory, std::int64_t first, Stream stream)
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

    void open() const {
        launch<OpenArgs>(&open_lists, {blocks_for(n_ * plan_.n_splits, kOpenThreads), 1, kOpenThreads, 0}, stream_,
                         {memory_.lists, n_, plan_.kind == EMBMATH_PLAN_EXACT ? 1u : 0u});
        if (plan_.kind != EMBMATH_PLAN_EXACT && search_.plane == nullptr) reset_range(memory_.rows, stream_);
        encode_rows(queries_, search_.queries.dtype, memory_.queries, metric_, false, stream_);
    }

    // Codes of rows [first, first + n), and what the bounds of all rows so far are.
    Plane encode_block(std::int64_t first, std::int64_t n) const {
        Plane codes = memory_.rows;
        codes.lines.n = n;
        if (codes.codes == nullptr) codes.lines.data += first * codes.lines.stride;
        if (search_.plane == nullptr) encode_rows(part_of(rows_, first, n), search_.corpus.dtype, codes, metric_, true, stream_);
        const double product_error = visit([&](auto kind) { return decltype(kind)::product_error(rows_.n_cols); });
        launch<GateArgs>(&make_gates, {blocks_for(n_, kGateThreads), 1, kGateThreads, 0}, stream_,
                         {memory_.queries.measures, codes.range, memory_.lists.gates, memory_.lists.is_exact, n_, product_error, metric_});
        return codes;
    }

    void match_tiles(const Plane& codes, std::int64_t first, const TileOrder& order) const {
        Lines queries = memory_.queries.lines;
        queries.n = n_;
        const MatchArgs args{queries, codes.lines, order, first, codes.terms, memory_.lists, permission_};
        visit([&](auto kind) {
            using Code = typename decltype(kind)::Code;
            switch (plan_.tile) {
                case Tile::narrow: return match_with<NarrowMatch, Code>(args);
                case Tile::medium: return match_with<MediumMatch, Code>(args);
                case Tile::wide: return match_with<WideMatch, Code>(args);
            }
        });
    }

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
                match_tiles(codes, first, {apart, true});
                tighten_thresholds(false);
            }
            match_tiles(codes, first, {apart, false});
            if (apart == 0 && first == 0) tighten_thresholds(false);
        }
    }

    void close() const {
        const Threshold threshold{oriented_threshold(), !std::isnan(search_.threshold)};
        const core::HalfMeasure* measures = memory_.queries.measures;
        if (plan_.kind != EMBMATH_PLAN_EXACT) {
            tighten_thresholds(true);
            visit([&](auto kind) {
                launch<RescoreArgs>(&rescore<decltype(kind)>, {blocks_for(n_, 1), splits(), kRescoreThreads, 0}, stream_,
                                    {queries_, rows_, measures, memory_.lists, metric_, threshold, counter(0)});
            });
        }
        visit([&](auto kind) {
            launch<ExactArgs>(&search_exact<decltype(kind)>, {blocks_for(n_, 1), splits(), kExactThreads, sizeof(ExactShared)},
                              stream_, {queries_, rows_, measures, memory_.lists, permission_, metric_, threshold, counter(1)});
        });
        std::int64_t* indices = search_.indices + first_ * search_.k;
        launch<FinishArgs>(&finish, {blocks_for(n_, 1), 1, kFinishThreads, finish_bytes(search_.k)}, stream_,
                           {memory_.lists, indices, sort_size(search_.k)});
        visit([&](auto kind) {
            launch<ValuesArgs>(&write_values<decltype(kind)>,
                               {blocks_for(n_ * search_.k, kRescoreRows), 1, kRescoreThreads, 0}, stream_,
                               {queries_, rows_, measures, indices, static_cast<std::uint32_t*>(search_.values) + first_ * search_.k, n_ * search_.k, search_.k, metric_});
        });
    }

private:
    template <class Shape, class Code>
    void match_with(const MatchArgs& args) const {
        launch<MatchArgs>(&match<Shape, Code>, {blocks_for(n_, Shape::kQueries), splits(), kMatchThreads, sizeof(MatchShared<Shape>)}, stream_, args);
    }

    unsigned long long* counter(int which) const {
        return search_.counters == nullptr ? nullptr : reinterpret_cast<unsigned long long*>(search_.counters) + which;
    }

    unsigned splits() const { return static_cast<unsigned>(plan_.n_splits); }

    double oriented_threshold() const {
        if (std::isnan(search_.threshold)) return -std::numeric_limits<double>::infinity();
        return core::is_similarity(metric_) ? search_.threshold : -search_.threshold;
    }

    const embmath_search& search_;
    const SearchPlan& plan_;
    const SearchMemory& memory_;
    std::int64_t first_, n_;
    Stream stream_;
    Metric metric_;
    Rows queries_, rows_;
    Permission permission_;
};

template <class Code>
embmath_cuda_status allow_match(int device) {
    embmath_cuda_status status = allow_shared(&match<NarrowMatch, Code>, sizeof(MatchShared<NarrowMatch>));
    if (status == EMBMATH_CUDA_OK) status = allow_shared(&match<MediumMatch, Code>, sizeof(MatchShared<MediumMatch>));
    if (status == EMBMATH_CUDA_OK && shared_bytes(device) >= sizeof(MatchShared<WideMatch>)) {
        status = allow_shared(&match<WideMatch, Code>, sizeof(MatchShared<WideMatch>));
    }
    return status;
}

// Checks, cuts and carves; then `run` enqueues.
template <class Run>
embmath_cuda_status with_search(const embmath_search* search, void* workspace, std::size_t bytes, int device, const Run& run) {
    if (const embmath_cuda_status status = check(*search, device); status != EMBMATH_CUDA_OK) return status;
    const DeviceGuard guard(device);
    if (guard.status() != EMBMATH_CUDA_OK) return guard.status();
    const SearchPlan plan = make_plan(*search, device);
    std::size_t needed = 0;
    const SearchMemory memory = carve(*search, plan, workspace, &needed);
    if (bytes < needed) return EMBMATH_CUDA_SMALL_WORKSPACE;
    if (search->queries.n_rows == 0) return EMBMATH_CUDA_OK;
    const embmath_cuda_status status = run(plan, memory);
    return status != EMBMATH_CUDA_OK ? status : guard.launched();
}

// Tiles: the caller takes no more queries at a time than a batch holds.
template <class Run>
embmath_cuda_status with_batch(const embmath_search* search, void* workspace, std::size_t bytes, int device, void* stream,
                               const Run& run) {
    return with_search(search, workspace, bytes, device, [&](const SearchPlan& plan, const SearchMemory& memory) {
        if (plan.kind != EMBMATH_PLAN_TILES) return static_cast<embmath_cuda_status>(EMBMATH_CUDA_BAD_PLAN);
        if (plan.batch_queries < search->queries.n_rows) return static_cast<embmath_cuda_status>(EMBMATH_CUDA_BAD_SIZE);
        run(Batch(*search, plan, memory, 0, static_cast<Stream>(stream)), plan, memory);
        return static_cast<embmath_cuda_status>(EMBMATH_CUDA_OK);
    });
}

}  // namespace

}  // namespace embmath::cuda

using namespace embmath;
using namespace embmath::cuda;

extern "C" {

embmath_cuda_status embmath_cuda_search_bytes(const embmath_search* search, int device, size_t* bytes) {
    if (const embmath_cuda_status status = check(*search, device); status != EMBMATH_CUDA_OK) return status;
    const DeviceGuard guard(device);
    if (guard.status() != EMBMATH_CUDA_OK) return guard.status();
    carve(*search, make_plan(*search, device), nullptr, bytes);
    return EMBMATH_CUDA_OK;
}

embmath_cuda_status embmath_cuda_search(const embmath_search* search, void* workspace, size_t bytes, int device, void* stream) {
    return with_search(search, workspace, bytes, device, [&](const SearchPlan& plan, const SearchMemory& memory) {
        if (plan.kind == EMBMATH_PLAN_TILES) return static_cast<embmath_cuda_status>(EMBMATH_CUDA_BAD_PLAN);
        for (std::int64_t first = 0; first < search->queries.n_rows; first += plan.batch_queries) {
            const Batch batch(*search, plan, memory, first, static_cast<Stream>(stream));
            batch.open();
            batch.scan();
            batch.close();
        }
        return static_cast<embmath_cuda_status>(EMBMATH_CUDA_OK);
    });
}

embmath_cuda_status embmath_cuda_tiles_open(const embmath_search* search, void* workspace, size_t bytes, int device, void* stream,
                                            embmath_tiles* tiles) {
    return with_batch(search, workspace, bytes, device, stream, [&](const Batch& batch, const SearchPlan& plan, const SearchMemory& memory) {
        batch.open();
        *tiles = {reinterpret_cast<std::uint16_t*>(memory.queries.codes), reinterpret_cast<std::uint16_t*>(memory.rows.codes),
                  memory.rows.lines.n_bytes / 2, plan.block_rows};
    });
}

embmath_cuda_status embmath_cuda_tiles_encode(const embmath_search* search, void* workspace, size_t bytes, int64_t first, int64_t n,
                                              int device, void* stream) {
    return with_batch(search, workspace, bytes, device, stream,
                      [&](const Batch& batch, const SearchPlan&, const SearchMemory&) { batch.encode_block(first, n); });
}

embmath_cuda_status embmath_cuda_tiles_select(const embmath_search* search, void* workspace, size_t bytes, const float* products,
                                              int64_t ld, int64_t first, int64_t n, int device, void* stream) {
    return with_batch(search, workspace, bytes, device, stream, [&](const Batch& batch, const SearchPlan&, const SearchMemory&) {
        batch.select(products, ld, first, n);
        if (first == 0) batch.tighten_thresholds(false);
    });
}

embmath_cuda_status embmath_cuda_tiles_close(const embmath_search* search, void* workspace, size_t bytes, int device, void* stream) {
    return with_batch(search, workspace, bytes, device, stream,
                      [&](const Batch& batch, const SearchPlan&, const SearchMemory&) { batch.close(); });
}

int64_t embmath_cuda_most_results(int device) { return most_results(device); }

embmath_cuda_status embmath_cuda_prepare(int device) {
    const DeviceGuard guard(device);
    if (guard.status() != EMBMATH_CUDA_OK) return guard.status();
    for (const embmath_cuda_status status :
         {allow_match<HalfCode>(device), allow_match<ByteCode<core::I8>>(device), allow_match<ByteCode<core::U8>>(device),
          allow_match<BitCode>(device), allow_shared(&finish, finish_bytes(most_results(device)))}) {
        if (status != EMBMATH_CUDA_OK) return status;
    }
    return EMBMATH_CUDA_OK;
}

}  // extern "C"
