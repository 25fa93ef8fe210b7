// How a (queries x corpus) job is divided: batches of queries, chunks of rows.
//
// Many chunks: all workers share one batch and take chunks. Few chunks (a small corpus): each worker
// takes whole batches. Either way a Batch object says what happens:
//   Batch::State                      one worker's memory, reused from chunk to chunk
//   batch.prepare(execution, workers)     once, before anything else
//   batch.make_state() -> State
//   batch.scan(state, worker, chunk)
//   batch.finish(worker, query, states)   called once per query of the batch, after all chunks
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/parallel.hpp"

namespace embmath::engine {

struct Grid {
    std::int64_t n_queries;
    std::int64_t batch_queries;
    std::int64_t n_chunks;
    int workers;

    std::int64_t n_batches() const { return (n_queries + batch_queries - 1) / batch_queries; }
    bool shares_batches() const { return workers == 1 || n_chunks >= 2 * workers || n_batches() == 1; }
};

// Visits chunks far apart in turn, so that a sorted corpus looks shuffled and thresholds tighten early.
inline std::int64_t scattered(std::int64_t task, std::int64_t n_chunks) {
    constexpr std::int64_t kStride = 2654435761;  // prime near 2^32 / golden ratio
    return n_chunks % kStride == 0 ? task : task * (kStride % n_chunks) % n_chunks;
}

template <class MakeBatch>
void sweep_shared(const Grid& grid, const Execution& execution, const MakeBatch& make_batch) {
    const std::int64_t total = grid.n_batches() * grid.n_chunks;
    for (std::int64_t b = 0; b < grid.n_batches(); ++b) {
        auto batch = make_batch(b);
        batch->prepare(execution, grid.workers);
        using State = typename decltype(batch)::element_type::State;
        std::vector<std::unique_ptr<State>> states(static_cast<std::size_t>(grid.workers));
        runtime::Tasks chunks(grid.n_chunks);
        runtime::run(execution, grid.workers, total, [&](runtime::Worker& worker) {
            worker.advance(worker.index() == 0 ? b * grid.n_chunks : 0);
            auto& state = states[static_cast<std::size_t>(worker.index())];
            for (std::int64_t task; chunks.take(task);) {
                if (!state) state = batch->make_state();
                batch->scan(*state, worker, scattered(task, grid.n_chunks));
                worker.advance(1);
            }
        });
        std::erase(states, nullptr);
        runtime::for_each_task(execution, grid.workers, batch->n_queries(), [&](runtime::Worker&, std::int64_t query) {
            batch->finish(static_cast<int>(query), states);
        });
    }
}

template <class MakeBatch>
void sweep_split(const Grid& grid, const Execution& execution, const MakeBatch& make_batch) {
    runtime::Tasks batches(grid.n_batches());
    runtime::run(execution, grid.workers, grid.n_batches() * grid.n_chunks, [&](runtime::Worker& worker) {
        for (std::int64_t b; batches.take(b);) {
            auto batch = make_batch(b);
            using State = typename decltype(batch)::element_type::State;
            batch->prepare(Execution{1, nullptr}, 1);
            std::vector<std::unique_ptr<State>> states;
            states.push_back(batch->make_state());
            for (std::int64_t chunk = 0; chunk < grid.n_chunks; ++chunk) {
                batch->scan(*states.front(), worker, chunk);
                worker.advance(1);
            }
            for (int query = 0; query < batch->n_queries(); ++query) batch->finish(query, states);
        }
    });
}

// `make_batch(b)` returns a unique_ptr to the b-th batch.
template <class MakeBatch>
void sweep(const Grid& grid, const Execution& execution, const MakeBatch& make_batch) {
    if (grid.shares_batches()) {
        sweep_shared(grid, execution, make_batch);
    } else {
        sweep_split(grid, execution, make_batch);
    }
}

}  // namespace embmath::engine
