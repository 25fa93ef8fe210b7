#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "embmath/errors.hpp"
#include "embmath/runtime.hpp"

namespace embmath {

namespace {

// "1500000000", "2GiB", "512M": a number with an optional binary suffix.
std::optional<std::uint64_t> from_environment() {
    const char* text = std::getenv("EMBMATH_MAX_MEMORY");
    if (text == nullptr) return std::nullopt;
    char* end = nullptr;
    const double value = std::strtod(text, &end);
    const std::string_view suffixes = "KMGT", suffix = end;
    const auto power = suffix.empty() ? std::string_view::npos : suffixes.find(suffix.front());
    if (end == text || !(value > 0.0) || (!suffix.empty() && power == std::string_view::npos)) {
        throw ValueError(std::string("EMBMATH_MAX_MEMORY: expected bytes such as 1500000000 or 2G, got '") + text + "'");
    }
    const int shift = power == std::string_view::npos ? 0 : 10 * (static_cast<int>(power) + 1);
    return static_cast<std::uint64_t>(std::min(value * static_cast<double>(std::uint64_t{1} << shift), 0x1p62));
}

std::optional<std::uint64_t> number_in(const char* path) {
    std::ifstream file(path);
    std::uint64_t value = 0;
    if (!(file >> value)) return std::nullopt;
    return value;
}

std::optional<std::uint64_t> machine_memory() {
    std::ifstream file("/proc/meminfo");
    std::string key;
    std::uint64_t kib = 0;
    for (std::string unit; file >> key >> kib; std::getline(file, unit)) {
        if (key == "MemAvailable:") return kib * 1024;
    }
    return std::nullopt;
}

// Page cache counts as used but is given back on demand: a corpus read from a file must not make
// memory look full.
std::uint64_t cgroup_file_cache() {
    std::ifstream file("/sys/fs/cgroup/memory.stat");
    std::uint64_t total = 0, value = 0;
    for (std::string key; file >> key >> value;) {
        if (key == "inactive_file" || key == "active_file") total += value;
    }
    return total;
}

std::optional<std::uint64_t> cgroup_memory() {
    const auto limit = number_in("/sys/fs/cgroup/memory.max");
    const auto current = number_in("/sys/fs/cgroup/memory.current");
    if (!limit || !current) return std::nullopt;
    const std::uint64_t used = *current - std::min(*current, cgroup_file_cache());
    return *limit > used ? *limit - used : 0;
}

}  // namespace

std::uint64_t available_memory() {
    if (const auto limit = from_environment()) return *limit;
    constexpr auto kUnknown = std::numeric_limits<std::uint64_t>::max();
    return std::min(machine_memory().value_or(kUnknown), cgroup_memory().value_or(kUnknown));
}

void require_memory(std::uint64_t bytes, const std::string& what) {
    constexpr std::uint64_t kFree = 16 << 20;  // reading the limits costs more than such a request
    if (bytes <= kFree && std::getenv("EMBMATH_MAX_MEMORY") == nullptr) return;
    const std::uint64_t available = available_memory();
    if (bytes <= available) return;
    throw MemoryError(what + " needs " + std::to_string(bytes) + " bytes, available: " +
                      std::to_string(available) + " bytes (EMBMATH_MAX_MEMORY sets another limit)");
}

}  // namespace embmath
