// What a search did, for whoever asks.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>

#include "embmath/search.hpp"

namespace embmath::engine {

// Collects the counters of all workers; null pointers to it mean that nobody asked.
class StatsCollector {
public:
    explicit StatsCollector(SearchStats& out) : out_(out) {}

    void add(int level, const StageStats& part) {
        const std::lock_guard lock(mutex_);
        StageStats& total = out_.stages[level];
        total.pairs += part.pairs;
        total.refined += part.refined;
        total.survivors += part.survivors;
        total.bytes += part.bytes;
        total.pack_seconds += part.pack_seconds;
        total.tile_seconds += part.tile_seconds;
    }
    void add_verified(std::int64_t rows, double seconds) {
        const std::lock_guard lock(mutex_);
        out_.verified += rows;
        out_.verify_seconds += seconds;
    }
    void set_plan(const char* plan) { out_.plan = plan; }

private:
    SearchStats& out_;
    std::mutex mutex_;
};

// Adds the time of its scope to a total, where one is asked for.
class Stopwatch {
public:
    Stopwatch(bool is_wanted, double& seconds) : seconds_(is_wanted ? &seconds : nullptr) {
        if (seconds_ != nullptr) start_ = Clock::now();
    }
    ~Stopwatch() {
        if (seconds_ != nullptr) *seconds_ += std::chrono::duration<double>(Clock::now() - start_).count();
    }
    Stopwatch(const Stopwatch&) = delete;
    Stopwatch& operator=(const Stopwatch&) = delete;

private:
    using Clock = std::chrono::steady_clock;
    double* seconds_;
    Clock::time_point start_;
};

}  // namespace embmath::engine
