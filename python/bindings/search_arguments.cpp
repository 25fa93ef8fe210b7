#include "search_arguments.hpp"

namespace embmath::bindings {

namespace {

py::array values_array(ResultType type, const std::vector<double>& values) {
    switch (type) {
        case ResultType::f64: return to_array<double>(values);
        case ResultType::i32: return to_array<std::int32_t>(values);
        case ResultType::i64: return to_array<std::int64_t>(values);
        case ResultType::f32: break;
    }
    return to_array<float>(values);
}

}  // namespace

SearchOptions search_options(const std::optional<py::array>& mask, bool exclude_self, std::optional<double> threshold,
                             bool reject_nan) {
    SearchOptions o;
    if (mask) {
        o.mask = static_cast<const std::uint8_t*>(mask->data());
        o.mask_stride = mask->ndim() == 2 ? mask->shape(1) : 0;
    }
    o.exclude_self = exclude_self;
    o.threshold = threshold;
    o.reject_nan_queries = reject_nan;
    return o;
}

py::dict as_dict(const SearchStats& stats) {
    // Codes are called by their kind, which a plan with codes begins with.
    const std::string names[] = {stats.plan.substr(0, stats.plan.find(',')), "float32", "canonical"};
    py::dict stages;
    for (int i = 0; i < 3; ++i) {
        const StageStats& stage = stats.stages[i];
        if (stage.pairs == 0) continue;
        py::dict entry;
        entry["pairs"] = stage.pairs;
        entry["refined"] = stage.refined;
        entry["survivors"] = stage.survivors;
        entry["bytes"] = stage.bytes;
        entry["pack_seconds"] = stage.pack_seconds;
        entry["tile_seconds"] = stage.tile_seconds;
        stages[names[i].c_str()] = entry;
    }
    py::dict all;
    all["plan"] = stats.plan;
    all["stages"] = stages;
    all["verified"] = stats.verified;
    all["verify_seconds"] = stats.verify_seconds;
    all["seconds"] = stats.seconds;
    return all;
}

py::tuple range_tuple(const RangeHits& hits, ResultType type) {
    return py::make_tuple(to_array<std::int64_t>(hits.offsets), values_array(type, hits.values),
                          to_array<std::int64_t>(hits.indices));
}

}  // namespace embmath::bindings
