// Runs one function on several threads of a shared pool, the caller being the first of them.
//
// Work is handed out dynamically by the function itself (see Tasks), so a call is complete when the
// caller finds nothing left, however many pool threads came to help: results cannot depend on the
// number of threads, and a busy pool delays nobody. The pool starts on first use; a forked child
// starts its own. Exceptions reach the caller, never the pool.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>

#include "embmath/runtime.hpp"

namespace embmath::runtime {

struct Job;

// Thrown through a worker's stack once the operation is being abandoned.
struct Cancelled {};

class Worker {
public:
    Worker(Job& job, int index) : job_(job), index_(index) {}

    int index() const { return index_; }

    // To be called every few milliseconds: stops a cancelled worker, lets the caller's Monitor speak.
    void checkpoint();

    // Reports finished work, in the units given to run().
    void advance(std::int64_t units);

private:
    Job& job_;
    int index_;
};

// Indices 0..count-1, each handed to exactly one worker.
class Tasks {
public:
    explicit Tasks(std::int64_t count) : count_(count) {}

    bool take(std::int64_t& task) {
        task = next_.fetch_add(1, std::memory_order_relaxed);
        return task < count_;
    }

private:
    std::atomic<std::int64_t> next_{0};
    std::int64_t count_;
};

using WorkerFunction = std::function<void(Worker&)>;

// `total` units of work in all, to tell the Monitor which fraction is done; 0: it is not told.
void run(const Execution& execution, int n_workers, std::int64_t total, const WorkerFunction& function);

// `function(worker, task)` for every task below `count`.
template <class Function>
void for_each_task(const Execution& execution, int n_workers, std::int64_t count, const Function& function) {
    Tasks tasks(count);
    const int n = static_cast<int>(std::min<std::int64_t>(n_workers, count));
    run(execution, n, 0, [&](Worker& worker) {
        for (std::int64_t task; tasks.take(task);) {
            worker.checkpoint();
            function(worker, task);
        }
    });
}

// Threads worth waking for this many multiply-adds: a wake-up costs about as much as a million.
int worker_count(const Execution& execution, double multiply_adds);

}  // namespace embmath::runtime
