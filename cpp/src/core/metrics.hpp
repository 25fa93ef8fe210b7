// What metrics have in common; for hosts and devices alike.
#pragma once

#include "core/compiler.hpp"
#include "embmath/types.hpp"

namespace embmath::core {

EMBMATH_INLINE constexpr bool is_similarity(Metric metric) { return metric == Metric::cosine || metric == Metric::dot; }
EMBMATH_INLINE constexpr bool is_euclidean(Metric metric) { return metric == Metric::euclidean || metric == Metric::sqeuclidean; }

}  // namespace embmath::core
