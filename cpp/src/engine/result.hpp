// Writing float64 values as the result's type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "embmath/types.hpp"

namespace embmath::engine {

// Calls `visit` with a value of the C++ type that `type` names. The one switch over result types.
template <class Visit>
decltype(auto) visit_result(ResultType type, Visit&& visit) {
    switch (type) {
        case ResultType::f64: return visit(double{});
        case ResultType::i32: return visit(std::int32_t{});
        case ResultType::i64: return visit(std::int64_t{});
        case ResultType::f32: break;
    }
    return visit(float{});
}

inline void store_result(ResultType type, void* out, std::size_t index, double value) {
    visit_result(type, [=](auto zero) { static_cast<decltype(zero)*>(out)[index] = static_cast<decltype(zero)>(value); });
}

}  // namespace embmath::engine
