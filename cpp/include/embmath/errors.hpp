// What can go wrong, by meaning; the bindings map each to one Python exception.
#pragma once

#include <stdexcept>
#include <string>

namespace embmath {

// A value or shape that is not allowed (ValueError). The text starts with the argument's name.
struct ValueError : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

// An element type, or a mix of them, that an operation does not take (TypeError).
struct TypeError : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

// The estimate of what a call needs exceeds what the machine has left (MemoryError).
struct MemoryError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace embmath
