#include "api/validate.hpp"

#include <string>

#include "api/open_rows.hpp"
#include "core/dtype.hpp"
#include "embmath/errors.hpp"
#include "engine/scorer.hpp"

namespace embmath::api {

const char* name_of(Metric metric) {
    constexpr const char* kNames[kMetricCount] = {"cosine",    "dot",     "euclidean", "sqeuclidean",
                                                  "manhattan", "hamming", "jaccard"};
    return kNames[static_cast<int>(metric)];
}

void check_dtypes(Metric metric, Dtype a, Dtype b, Names names) {
    const std::string came = std::string(names.a) + " " + core::name_of(a) + ", " + names.b + " " + core::name_of(b);
    if (engine::is_bits(metric)) {
        if (a == Dtype::u8 && b == Dtype::u8) return;
        throw TypeError("metric: '" + std::string(name_of(metric)) + "' takes packed bits (uint8), got " + came);
    }
    if ((core::is_integer(a) || core::is_integer(b)) && a != b) {
        throw TypeError(std::string(names.b) + ": integers go with the same integer dtype only, got " + came +
                        " (convert one side; codes and floats differ by a scale)");
    }
}

void check_columns(const MatrixView& a, const MatrixView& b, std::int64_t n_cols, Names names) {
    const std::int64_t a_cols = columns(a), b_cols = columns(b);
    if (a_cols != b_cols && (n_cols > a_cols || n_cols > b_cols || n_cols < 0)) {
        throw ValueError(std::string(names.b) + ": expected " + std::to_string(a_cols) + " columns like " + names.a +
                         ", got " + std::to_string(b_cols));
    }
    if (n_cols < 0 || n_cols > a_cols) {
        throw ValueError("dims: must be between 1 and " + std::to_string(a_cols) + ", got " + std::to_string(n_cols));
    }
}

}  // namespace embmath::api
