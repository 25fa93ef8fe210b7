#include "array_view.hpp"
#include "embmath/errors.hpp"
#include "embmath/index.hpp"
#include "embmath/similarity.hpp"
#include "search_arguments.hpp"

namespace embmath::bindings {

namespace {

using Ids = py::array_t<std::int64_t, py::array::c_style>;

// Name, type as safetensors calls it, and the array.
using NamedArray = std::tuple<std::string, std::string, py::array>;

IndexOptions index_options(const std::string& metric, const std::string& dtype, std::int64_t n_cols,
                           const std::vector<std::string>& codes, const std::optional<BasisArrays>& basis, bool copies_rows) {
    IndexOptions options{parse_metric(metric), parse_dtype(dtype), n_cols, {}, nullptr, copies_rows};
    for (const std::string& name : codes) options.codes[static_cast<int>(parse_code_kind(name))] = true;
    options.basis = as_basis(basis);
    return options;
}

std::unique_ptr<Index> make_index(const std::string& metric, const std::string& dtype, std::int64_t n_cols,
                                  const std::vector<std::string>& codes, const std::optional<BasisArrays>& basis, bool copies_rows) {
    const IndexOptions options = index_options(metric, dtype, n_cols, codes, basis, copies_rows);
    return run_released(0, py::none(), [&](const Execution&) { return std::make_unique<Index>(options); });
}

SavedArray saved_array(const NamedArray& named) {
    const auto& [name, type, array] = named;
    if ((array.flags() & py::array::c_style) == 0) throw ValueError(name + ": expected a C-contiguous array");
    return {name, type, {array.shape(), array.shape() + array.ndim()}, array.data(), keep_alive(array)};
}

std::unique_ptr<Index> restore_index(const std::string& metric, const std::string& dtype, std::int64_t n_cols,
                                     const std::vector<std::string>& codes, const std::optional<BasisArrays>& basis,
                                     bool copies_rows, const std::vector<NamedArray>& arrays, std::int64_t page_rows,
                                     std::int64_t next_id, bool knows_copies, bool has_codes, bool is_in_memory, int threads) {
    const IndexOptions options = index_options(metric, dtype, n_cols, codes, basis, copies_rows);
    SavedIndex saved{{}, page_rows, next_id, knows_copies, has_codes, is_in_memory};
    for (const NamedArray& array : arrays) saved.arrays.push_back(saved_array(array));
    return run_released(threads, py::none(), [&](const Execution& execution) {
        return std::make_unique<Index>(options, saved, execution);
    });
}

py::dict saved_dict(const IndexView& view) {
    const SavedIndex saved = view.saved();
    py::list arrays;
    for (const SavedArray& array : saved.arrays) arrays.append(py::make_tuple(array.name, array.type, py::tuple(py::cast(array.shape))));
    py::dict all;
    all["arrays"] = arrays;
    all["page_rows"] = saved.page_rows;
    all["next_id"] = saved.next_id;
    all["knows_copies"] = saved.knows_copies;
    return all;
}

py::object basis_of(const IndexView& view) {
    const std::shared_ptr<const Basis>& basis = view.options().basis;
    if (basis == nullptr) return py::none();
    const auto n_coords = static_cast<py::ssize_t>(basis->spread.size()), n_cols = static_cast<py::ssize_t>(basis->mean.size());
    return py::make_tuple(Dense<double>(n_cols, basis->mean.data()), Dense<float>({n_coords, n_cols}, basis->vectors.data()),
                          Dense<double>(n_coords, basis->spread.data()), view.basis_defect());
}

void read(const IndexView& view, std::size_t array, std::int64_t first, std::int64_t n, py::array out) {
    void* data = out.mutable_data();
    run_released(0, py::none(), [&](const Execution&) { view.read(array, first, n, data); });
}

std::vector<std::string> code_names(const Index& index) {
    std::vector<std::string> names;
    for (int kind = 0; kind < kCodeKinds; ++kind) {
        if (index.options().codes[kind]) names.emplace_back(kCodeKindNames[kind]);
    }
    return names;
}

Ids add(Index& index, const TypedArray& rows, const std::optional<Ids>& ids, int threads, const py::object& progress) {
    const MatrixView view = matrix_view(rows);
    const std::int64_t* given = ids ? ids->data() : nullptr;
    const std::shared_ptr<const void> owner = keep_alive(rows.first);
    const std::vector<std::int64_t> all = run_released(threads, progress, [&](const Execution& execution) {
        return index.add(view, given, owner, execution);
    });
    return to_array<std::int64_t>(all);
}

void update(Index& index, const Ids& ids, const TypedArray& rows) {
    const MatrixView view = matrix_view(rows);
    const std::int64_t* given = ids.data();
    const std::shared_ptr<const void> owner = keep_alive(rows.first);
    run_released(0, py::none(), [&](const Execution& execution) { index.update(given, view, owner, execution); });
}

void remove(Index& index, const Ids& ids, int threads) {
    const std::int64_t* given = ids.data();
    const std::int64_t n = ids.size();
    run_released(threads, py::none(), [&](const Execution& execution) { index.remove(given, n, execution); });
}

py::dict search(const IndexView& index, const TypedArray& queries, std::int64_t n_cols, const std::optional<py::array>& mask,
                bool exclude_self,
                std::optional<double> threshold, bool reject_nan, int threads, const py::object& progress,
                bool wants_stats, py::array values, Ids ids) {
    const MatrixView q = matrix_view(queries);
    SearchOptions o = search_options(mask, exclude_self, threshold, reject_nan);
    o.n_cols = n_cols;
    SearchStats stats;
    if (wants_stats) o.stats = &stats;
    void* value_data = values.mutable_data();
    std::int64_t* id_data = ids.mutable_data();
    const std::int64_t columns = ids.shape(1);
    run_released(threads, progress, [&](const Execution& execution) {
        index.search(q, columns, o, execution, value_data, id_data);
    });
    return wants_stats ? as_dict(stats) : py::dict();
}

py::tuple range_search(const IndexView& index, const TypedArray& queries, std::int64_t n_cols, ResultType type,
                       const std::optional<py::array>& mask, bool exclude_self, double threshold, bool reject_nan, int threads, const py::object& progress) {
    const MatrixView q = matrix_view(queries);
    SearchOptions o = search_options(mask, exclude_self, threshold, reject_nan);
    o.n_cols = n_cols;
    const RangeHits hits = run_released(threads, progress, [&](const Execution& execution) {
        return index.range_search(q, o, execution);
    });
    return range_tuple(hits, type);
}

py::dict stats_dict(const IndexView& view) {
    const IndexStats stats = view.stats();
    py::dict all;
    all["rows"] = stats.rows;
    all["removed"] = stats.removed;
    all["pages"] = stats.pages;
    all["copied_rows"] = stats.copied_rows;
    all["code_bytes"] = stats.code_bytes;
    all["row_bytes"] = stats.row_bytes;
    all["table_bytes"] = stats.table_bytes;
    return all;
}

Ids all_ids(const IndexView& view) {
    Ids out(view.n_rows());
    view.ids(out.mutable_data());
    return out;
}

}  // namespace

void bind_index(py::module_& m) {
    m.attr("CODES_LAYOUT") = kCodesLayout;
    m.attr("CODE_KINDS") = std::vector<std::string>(std::begin(kCodeKindNames), std::end(kCodeKindNames));
    py::class_<IndexView> index_view(m, "IndexView");
    index_view.def_property_readonly("n_rows", &IndexView::n_rows)
        .def("stats", &stats_dict)
        .def("ids", &all_ids)
        .def("contains", &IndexView::contains, py::arg("id"))
        .def("search", &search, py::arg("queries"), py::arg("n_cols"), py::arg("mask"), py::arg("exclude_self"), py::arg("threshold"),
             py::arg("reject_nan"), py::arg("threads"), py::arg("progress"), py::arg("stats"), py::arg("values"),
             py::arg("ids"))
        .def("range_search", [](const IndexView& view, const TypedArray& queries, std::int64_t n_cols, const std::string& metric,
                                const TypedArray& like, const std::optional<py::array>& mask, bool exclude_self,
                                double threshold, bool reject_nan, int threads, const py::object& progress) {
            const MatrixView q = matrix_view(queries);
            const ResultType type = score_type(parse_metric(metric), q, matrix_view(like), n_cols);
            return range_search(view, queries, n_cols, type, mask, exclude_self, threshold, reject_nan, threads, progress);
        }, py::arg("queries"), py::arg("n_cols"), py::arg("metric"), py::arg("like"), py::arg("mask"), py::arg("exclude_self"),
           py::arg("threshold"), py::arg("reject_nan"), py::arg("threads"), py::arg("progress"))
        .def("reconstruct", [](const IndexView& view, const Ids& ids, py::array out) {
            view.reconstruct(ids.data(), ids.size(), out.mutable_data());
        }, py::arg("ids"), py::arg("out"));
    index_view.def("saved", &saved_dict)
        .def("basis", &basis_of)
        .def("read", &read, py::arg("array"), py::arg("first"), py::arg("n"), py::arg("out"));
    py::class_<Index>(m, "Index")
        .def(py::init(&make_index), py::arg("metric"), py::arg("dtype"), py::arg("n_cols"), py::arg("codes"),
             py::arg("basis"), py::arg("copies_rows"))
        .def_static("restore", &restore_index, py::arg("metric"), py::arg("dtype"), py::arg("n_cols"), py::arg("codes"),
                    py::arg("basis"), py::arg("copies_rows"), py::arg("arrays"), py::arg("page_rows"), py::arg("next_id"),
                    py::arg("knows_copies"), py::arg("has_codes"), py::arg("is_in_memory"), py::arg("threads"))
        .def_property_readonly("codes", &code_names)
        .def("view", &Index::view)
        .def("add", &add, py::arg("rows"), py::arg("ids"), py::arg("threads"), py::arg("progress"))
        .def("update", &update, py::arg("ids"), py::arg("rows"))
        .def("remove", &remove, py::arg("ids"), py::arg("threads"));
}

}  // namespace embmath::bindings
