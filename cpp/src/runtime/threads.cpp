// How many threads: set_default_threads > EMBMATH_NUM_THREADS > OMP_NUM_THREADS > min(affinity, quota).
#include <atomic>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

#include "embmath/errors.hpp"
#include "embmath/runtime.hpp"

namespace embmath {

namespace {

constexpr int kMaxThreads = 1024;

std::atomic<int> g_default_threads{0};

// "4" or OpenMP's nested form "4,2", of which the outermost level counts. Our own variable must make
// sense; OpenMP's belongs to others and is skipped where it does not.
std::optional<int> from_environment(const char* name, bool is_ours) {
    const char* text = std::getenv(name);
    if (text == nullptr) return std::nullopt;
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (end == text || (*end != '\0' && *end != ',') || value < 1) {
        if (is_ours) throw ValueError(std::string(name) + ": must be an integer of at least 1, got '" + text + "'");
        return std::nullopt;
    }
    return static_cast<int>(std::min<long>(value, kMaxThreads));
}

int affinity_count() {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
    return std::max(1u, std::thread::hardware_concurrency());
}

std::optional<double> quota_v2(const std::string& directory) {
    std::ifstream file(directory + "/cpu.max");
    std::string quota;
    double period = 0.0;
    if (!(file >> quota >> period) || quota == "max" || period <= 0.0) return std::nullopt;
    return std::strtod(quota.c_str(), nullptr) / period;
}

std::optional<double> quota_v1(const std::string& directory) {
    std::ifstream quota_file(directory + "/cpu.cfs_quota_us"), period_file(directory + "/cpu.cfs_period_us");
    double quota = 0.0, period = 0.0;
    if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0.0 || period <= 0.0) return std::nullopt;
    return quota / period;
}

// The tightest CPU quota of this process's cgroup and its ancestors (v2 "0::/path", v1 "n:cpu:/path").
std::optional<double> cgroup_quota() {
    std::optional<double> tightest;
    const auto consider = [&tightest](std::optional<double> quota) {
        if (quota && (!tightest || *quota < *tightest)) tightest = quota;
    };
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        const auto first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        std::string controllers(1, ',');
        controllers.append(line, first + 1, second - first - 1).push_back(',');
        const bool is_v2 = controllers == ",,";
        if (!is_v2 && controllers.find(",cpu,") == std::string::npos) continue;
        for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
            if (path == "/") path.clear();
            consider(is_v2 ? quota_v2("/sys/fs/cgroup" + path) : quota_v1("/sys/fs/cgroup/cpu" + path));
            if (path.empty() || path.rfind('/') == std::string::npos) break;
        }
    }
    return tightest;
}

}  // namespace

ThreadChoice default_threads() {
    if (const int set = g_default_threads.load(std::memory_order_relaxed); set > 0) return {set, "set_num_threads"};
    if (const auto count = from_environment("EMBMATH_NUM_THREADS", true)) return {*count, "EMBMATH_NUM_THREADS"};
    if (const auto count = from_environment("OMP_NUM_THREADS", false)) return {*count, "OMP_NUM_THREADS"};
    const int cores = affinity_count();
    static const std::optional<double> quota = cgroup_quota();  // files: read once
    if (quota && *quota < cores) return {std::max(1, static_cast<int>(std::ceil(*quota))), "cgroup quota"};
    return {cores, "affinity"};
}

void set_default_threads(int count) {
    if (count < 0) throw ValueError("threads: must be at least 1, got " + std::to_string(count));
    g_default_threads.store(std::min(count, kMaxThreads), std::memory_order_relaxed);
}

}  // namespace embmath
