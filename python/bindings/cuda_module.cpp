// embmath._cuda: the CUDA half's C face with Python's manners. Pointers come as integers; whoever calls
// keeps the memory behind them alive and passes the stream on which it is valid.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <tuple>

#include "embmath/cuda.h"

namespace py = pybind11;

namespace {

using Address = std::uintptr_t;
using RowsTuple = std::tuple<Address, std::int64_t, std::int64_t, std::int64_t, int>;

template <class T>
T* pointer(Address address) {
    return reinterpret_cast<T*>(address);  // NOLINT: an address of the device
}

void check(embmath_cuda_status status) {
    if (status == EMBMATH_CUDA_OK) return;
    if (status < 0) throw py::value_error(embmath_cuda_message(status));
    throw std::runtime_error(std::string("CUDA: ") + embmath_cuda_message(status));
}

embmath_rows rows_of(const RowsTuple& rows) {
    const auto& [data, n_rows, n_cols, row_stride, dtype] = rows;
    return {pointer<void>(data), n_rows, n_cols, row_stride, dtype};
}

// Levels, signed, symmetric, rounding, bytes.
using FormatTuple = std::tuple<int, bool, bool, int, int>;

embmath_code_format format_of(const FormatTuple& format) {
    const auto& [levels, is_signed, is_symmetric, rounding, bytes] = format;
    return {levels, is_signed, is_symmetric, rounding, bytes};
}

// Where a call works: a workspace, and the device and stream of everything else.
struct Place {
    Address workspace;
    std::size_t bytes;
    int device;
    Address stream;
};

class Search {
public:
    Search(const RowsTuple& queries, const RowsTuple& corpus, Address plane, int metric, int plan, std::int64_t k, Address mask,
           std::int64_t mask_stride, std::int64_t self, double threshold, Address values, Address indices, Address counters)
        : search_{rows_of(queries), rows_of(corpus), pointer<void>(plane), metric, plan, k, pointer<std::uint8_t>(mask), mask_stride,
                  self, threshold, pointer<void>(values), pointer<std::int64_t>(indices), pointer<std::uint64_t>(counters)} {}

    std::size_t workspace_bytes(int device) const {
        std::size_t bytes = 0;
        check(embmath_cuda_search_bytes(&search_, device, &bytes));
        return bytes;
    }
    void run(const Place& at) const {
        call([&] { return embmath_cuda_search(&search_, pointer<void>(at.workspace), at.bytes, at.device, pointer<void>(at.stream)); });
    }
    std::size_t range_bytes(int device) const {
        std::size_t bytes = 0;
        check(embmath_cuda_range_bytes(&search_, device, &bytes));
        return bytes;
    }
    void run_range(const Place& at, Address pairs, Address values, std::int64_t capacity, Address count) const {
        const embmath_hits hits{pointer<std::uint64_t>(pairs), pointer<void>(values), capacity, pointer<std::uint64_t>(count)};
        call([&] { return embmath_cuda_range_search(&search_, &hits, pointer<void>(at.workspace), at.bytes, at.device, pointer<void>(at.stream)); });
    }
    // Addresses of the queries' and of a tile's codes, elements from row to row, rows of a tile.
    std::tuple<Address, Address, std::int64_t, std::int64_t> open_tiles(const Place& at) const {
        embmath_tiles tiles{};
        call([&] {
            return embmath_cuda_tiles_open(&search_, pointer<void>(at.workspace), at.bytes, at.device, pointer<void>(at.stream), &tiles);
        });
        return {reinterpret_cast<Address>(tiles.query_codes), reinterpret_cast<Address>(tiles.row_codes), tiles.ld, tiles.max_rows};
    }
    void encode_tile(const Place& at, std::int64_t first, std::int64_t n) const {
        call([&] {
            return embmath_cuda_tiles_encode(&search_, pointer<void>(at.workspace), at.bytes, first, n, at.device, pointer<void>(at.stream));
        });
    }
    void select_tile(const Place& at, Address products, std::int64_t ld, std::int64_t first, std::int64_t n) const {
        call([&] {
            return embmath_cuda_tiles_select(&search_, pointer<void>(at.workspace), at.bytes, pointer<float>(products), ld, first, n,
                                             at.device, pointer<void>(at.stream));
        });
    }
    void close_tiles(const Place& at) const {
        call([&] { return embmath_cuda_tiles_close(&search_, pointer<void>(at.workspace), at.bytes, at.device, pointer<void>(at.stream)); });
    }

private:
    template <class Call>
    static void call(const Call& call) {
        embmath_cuda_status status = EMBMATH_CUDA_OK;
        {
            const py::gil_scoped_release release;
            status = call();
        }
        check(status);
    }

    embmath_search search_;
};

}  // namespace

PYBIND11_MODULE(_cuda, m) {
    py::class_<Place>(m, "Place")
        .def(py::init<Address, std::size_t, int, Address>(), py::arg("workspace"), py::arg("bytes"), py::arg("device"),
             py::arg("stream"));
    py::class_<Search>(m, "Search")
        .def(py::init<const RowsTuple&, const RowsTuple&, Address, int, int, std::int64_t, Address, std::int64_t, std::int64_t, double,
                      Address, Address, Address>(),
             py::kw_only(), py::arg("queries"), py::arg("corpus"), py::arg("plane"), py::arg("metric"), py::arg("plan"), py::arg("k"),
             py::arg("mask"), py::arg("mask_stride"), py::arg("self_row"), py::arg("threshold"), py::arg("values"), py::arg("indices"),
             py::arg("counters"))
        .def("workspace_bytes", &Search::workspace_bytes, py::arg("device"))
        .def("run", &Search::run, py::arg("at"))
        .def("range_bytes", &Search::range_bytes, py::arg("device"))
        .def("run_range", &Search::run_range, py::arg("at"), py::arg("pairs"), py::arg("values"), py::arg("capacity"), py::arg("count"))
        .def("open_tiles", &Search::open_tiles, py::arg("at"))
        .def("encode_tile", &Search::encode_tile, py::arg("at"), py::arg("first"), py::arg("n"))
        .def("select_tile", &Search::select_tile, py::arg("at"), py::arg("products"), py::arg("ld"), py::arg("first"), py::arg("n"))
        .def("close_tiles", &Search::close_tiles, py::arg("at"));
    m.def("prepare", [](int device) { check(embmath_cuda_prepare(device)); }, py::arg("device"));
    m.def("most_results", &embmath_cuda_most_results, py::arg("device"));
    m.def(
        "plane_bytes",
        [](const RowsTuple& rows, int metric) {
            const embmath_rows view = rows_of(rows);
            std::size_t bytes = 0;
            check(embmath_cuda_plane_bytes(&view, static_cast<embmath_metric>(metric), &bytes));
            return bytes;
        },
        py::arg("rows"), py::arg("metric"));
    m.def(
        "make_plane",
        [](const RowsTuple& rows, int metric, const Place& at) {
            const embmath_rows view = rows_of(rows);
            check(embmath_cuda_make_plane(&view, static_cast<embmath_metric>(metric), pointer<void>(at.workspace), at.bytes, at.device,
                                          pointer<void>(at.stream)));
        },
        py::arg("rows"), py::arg("metric"), py::arg("at"));
    m.def(
        "normalize",
        [](const RowsTuple& rows, double eps, Address out, int device, Address stream) {
            const embmath_rows view = rows_of(rows);
            check(embmath_cuda_normalize(&view, eps, pointer<void>(out), device, pointer<void>(stream)));
        },
        py::arg("rows"), py::arg("eps"), py::arg("out"), py::arg("device"), py::arg("stream"));
    m.def(
        "quantize",
        [](const RowsTuple& rows, const FormatTuple& format, Address low, Address high, std::int64_t n_ranges, Address codes,
           int device, Address stream) {
            const embmath_rows view = rows_of(rows);
            const embmath_code_format form = format_of(format);
            check(embmath_cuda_quantize(&view, &form, pointer<float>(low), pointer<float>(high), n_ranges, pointer<void>(codes), device,
                                        pointer<void>(stream)));
        },
        py::arg("rows"), py::arg("format"), py::arg("low"), py::arg("high"), py::arg("n_ranges"), py::arg("codes"), py::arg("device"),
        py::arg("stream"));
    m.def(
        "quantize_rows",
        [](const RowsTuple& rows, const FormatTuple& format, Address codes, Address minimum, Address step, Address before_bad,
           int device, Address stream) {
            const embmath_rows view = rows_of(rows);
            const embmath_code_format form = format_of(format);
            check(embmath_cuda_quantize_rows(&view, &form, pointer<void>(codes), pointer<float>(minimum), pointer<float>(step),
                                             pointer<std::uint32_t>(before_bad), device, pointer<void>(stream)));
        },
        py::arg("rows"), py::arg("format"), py::arg("codes"), py::arg("minimum"), py::arg("step"), py::arg("before_bad"),
        py::arg("device"), py::arg("stream"));
    m.def(
        "pack_bits",
        [](const RowsTuple& rows, double threshold, std::uint8_t flip, Address codes, int device, Address stream) {
            const embmath_rows view = rows_of(rows);
            check(embmath_cuda_pack_bits(&view, threshold, flip, pointer<void>(codes), device, pointer<void>(stream)));
        },
        py::arg("rows"), py::arg("threshold"), py::arg("flip"), py::arg("codes"), py::arg("device"), py::arg("stream"));
    m.attr("is_emulated") = embmath_cuda_is_emulated() != 0;
}
