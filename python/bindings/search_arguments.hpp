// Options and results that searches of arrays and of an index have in common.
#pragma once

#include <optional>
#include <vector>

#include "array_view.hpp"
#include "embmath/search.hpp"

namespace embmath::bindings {

// `mask`: uint8, C-contiguous, (n,) or (nq, n).
SearchOptions search_options(const std::optional<py::array>& mask, bool exclude_self, std::optional<double> threshold,
                             bool reject_nan);

py::dict as_dict(const SearchStats& stats);

// (offsets, values, indices)
py::tuple range_tuple(const RangeHits& hits, ResultType type);

template <class To, class From>
py::array_t<To> to_array(const std::vector<From>& from) {
    py::array_t<To> out(static_cast<py::ssize_t>(from.size()));
    To* data = out.mutable_data();
    for (std::size_t i = 0; i < from.size(); ++i) data[i] = static_cast<To>(from[i]);
    return out;
}

}  // namespace embmath::bindings
