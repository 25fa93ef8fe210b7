// The compiled kernel tables and the active one.
#pragma once

#include <string>
#include <vector>

#include "kernel/table.hpp"

namespace embmath::dispatch {

// Names this CPU can run, best last.
std::vector<std::string> available_isas();

// The table in use: the best available, or the one EMBMATH_FORCE_ISA names. Throws ValueError if
// that name is unknown or not runnable here.
const kernel::KernelTable& active();

// Throws ValueError if EMBMATH_FORCE_ISA names what cannot run here; asks for nothing else.
void check_forced();

// Replaces the active table and returns the previous name. For tests and for bisecting.
std::string force(const std::string& name);

}  // namespace embmath::dispatch
