#include "embmath/runtime.hpp"

#include "dispatch/registry.hpp"

namespace embmath {

std::vector<std::string> available_isas() { return dispatch::available_isas(); }
bool multiplies_bytes() { return dispatch::active().multiplies_bytes; }
std::string active_isa() { return dispatch::active().name; }
void check_forced_isa() { dispatch::check_forced(); }

std::string force_isa(const std::string& name) { return dispatch::force(name); }

std::string compiler_description() {
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

std::string version() { return EMBMATH_VERSION; }

}  // namespace embmath
