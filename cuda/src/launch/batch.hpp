// A batch of queries on its way through the corpus: what searches for the best rows and for all rows
// within a threshold have in common.
#pragma once

#include "kernel/exact.cuh"
#include "kernel/match.cuh"
#include "launch/device.hpp"
#include "launch/kinds.hpp"
#include "launch/plane.hpp"
#include "launch/search.hpp"

namespace embmath::cuda {

class Batch {
public:
    Batch(const embmath_search& search, const SearchPlan& plan, const SearchMemory& memory, std::int64_t first, Stream stream);

    void open() const;
    // Codes of rows [first, first + n), and what the bounds of all rows so far are.
    Plane encode_block(std::int64_t first, std::int64_t n) const;

protected:
    // Calls with the kind of the corpus.
    template <class Call>
    decltype(auto) visit(const Call& call) const {
        return visit_kind(search_.corpus.dtype, metric_, call);
    }

    template <class Sink>
    void match_tiles(const Plane& codes, std::int64_t first, const TileOrder& order, const Sink& sink) const {
        Lines queries = memory_.queries.lines;
        queries.n = n_;
        const MatchArgs<Sink> args{queries, codes.lines, order, first, codes.terms, memory_.gates, sink, permission_};
        visit([&](auto kind) {
            using Code = typename decltype(kind)::Code;
            switch (plan_.tile) {
                case Tile::narrow: return match_with<NarrowMatch, Code>(args);
                case Tile::medium: return match_with<MediumMatch, Code>(args);
                case Tile::wide: return match_with<WideMatch, Code>(args);
            }
        });
    }

    template <class Sink>
    void scan_exactly(const Sink& sink) const {
        visit([&](auto kind) {
            launch<ExactArgs<Sink>>(&search_exact<decltype(kind), Sink>, {blocks_for(n_, 1), splits(), kExactThreads, sizeof(ExactShared)},
                                    stream_, {queries_, rows_, memory_.queries.measures, sink, permission_, metric_, threshold(), counter(1)});
        });
    }

    // Oriented: larger is better.
    Threshold threshold() const;

    unsigned long long* counter(int which) const {
        return search_.counters == nullptr ? nullptr : reinterpret_cast<unsigned long long*>(search_.counters) + which;
    }

    unsigned splits() const { return static_cast<unsigned>(plan_.n_splits); }

    const embmath_search& search_;
    const SearchPlan& plan_;
    const SearchMemory& memory_;
    std::int64_t first_, n_;
    Stream stream_;
    Metric metric_;
    Rows queries_, rows_;
    Permission permission_;

private:
    template <class Shape, class Code, class Sink>
    void match_with(const MatchArgs<Sink>& args) const {
        launch<MatchArgs<Sink>>(&match<Shape, Code, Sink>, {blocks_for(n_, Shape::kQueries), splits(), kMatchThreads, sizeof(MatchShared<Shape>)},
                                stream_, args);
    }
};

// Kernels that need more shared memory than every block may have.
template <class Shape, class Sink>
embmath_cuda_status allow_shape() {
    constexpr std::size_t kBytes = sizeof(MatchShared<Shape>);
    return first_failure({allow_shared(&match<Shape, HalfCode, Sink>, kBytes), allow_shared(&match<Shape, ByteCode<core::I8>, Sink>, kBytes),
                          allow_shared(&match<Shape, ByteCode<core::U8>, Sink>, kBytes), allow_shared(&match<Shape, BitCode, Sink>, kBytes)});
}

template <class Sink>
embmath_cuda_status allow_matches(int device) {
    const bool has_room = shared_bytes(device) >= sizeof(MatchShared<WideMatch>);
    return first_failure({allow_shape<NarrowMatch, Sink>(), allow_shape<MediumMatch, Sink>(),
                          has_room ? allow_shape<WideMatch, Sink>() : static_cast<embmath_cuda_status>(EMBMATH_CUDA_OK)});
}

// Checks, cuts and carves; then `run` enqueues.
template <class Run>
embmath_cuda_status with_search(const embmath_search* search, void* workspace, std::size_t bytes, int device, bool has_lists, const Run& run) {
    if (const embmath_cuda_status status = check(*search, device); status != EMBMATH_CUDA_OK) return status;
    const DeviceGuard guard(device);
    if (guard.status() != EMBMATH_CUDA_OK) return guard.status();
    const SearchPlan plan = make_plan(*search, device);
    std::size_t needed = 0;
    const SearchMemory memory = carve(*search, plan, has_lists, workspace, &needed);
    if (bytes < needed) return EMBMATH_CUDA_SMALL_WORKSPACE;
    if (search->queries.n_rows == 0) return EMBMATH_CUDA_OK;
    const embmath_cuda_status status = run(plan, memory);
    return status != EMBMATH_CUDA_OK ? status : guard.launched();
}

}  // namespace embmath::cuda
