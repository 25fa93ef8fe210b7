// Threads, memory limits, instruction sets, and how a long call talks to whoever waits for it.
#pragma once

#include <cfenv>
#include <cstdint>
#include <string>
#include <vector>

namespace embmath {

// Called now and then from the calling thread of a long operation. poll() may throw: the operation
// then stops at its next checkpoint (milliseconds), and the exception reaches the caller.
class Monitor {
public:
    virtual ~Monitor() = default;
    virtual void poll(double fraction_done) = 0;  // negative: not known
};

// Rounding to nearest, denormals kept, nothing trapped: restored at the end of the scope. Callers may
// have set something else (Torch can flush denormals), and results must not depend on it.
class DefaultFloatEnvironment {
public:
    DefaultFloatEnvironment() {
        std::fegetenv(&saved_);
        std::fesetenv(FE_DFL_ENV);
    }
    ~DefaultFloatEnvironment() { std::fesetenv(&saved_); }
    DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
    DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;

private:
    std::fenv_t saved_;
};

struct Execution {
    int threads = 0;              // 0: the default
    Monitor* monitor = nullptr;
};

struct ThreadChoice {
    int count;
    std::string source;  // which rule decided
};

ThreadChoice default_threads();
void set_default_threads(int count);  // 0: back to the environment's rules

std::vector<std::string> available_isas();
// Whether codes save time here, or only memory.
bool multiplies_bytes();
std::string active_isa();
void check_forced_isa();  // throws ValueError if EMBMATH_FORCE_ISA names what cannot run here
std::string force_isa(const std::string& name);

// Bytes an operation may still take: EMBMATH_MAX_MEMORY, else what the machine and cgroup have left.
std::uint64_t available_memory();

// Throws MemoryError, naming `what`, if `bytes` exceeds what is available.
void require_memory(std::uint64_t bytes, const std::string& what);

std::string compiler_description();
std::string version();

}  // namespace embmath
