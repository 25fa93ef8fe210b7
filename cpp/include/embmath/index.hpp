// A searchable collection that changes: exact rows, and beside them codes that make searches cheap.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "embmath/runtime.hpp"
#include "embmath/search.hpp"
#include "embmath/types.hpp"

namespace embmath {

namespace engine {
class IndexStore;
struct Snapshot;
}  // namespace engine

// Codes that an index may keep beside its rows.
enum class CodeKind : std::uint8_t {
    int8,    // of the elements as they are
    prefix,  // int8 of rotated rows: half of the coordinates for every row, the rest for survivors
    int4,    // of rotated rows: a quarter of the coordinates, then another one
};
inline constexpr int kCodeKinds = 3;
inline constexpr std::array<std::string_view, kCodeKinds> kCodeKindNames{"int8", "prefix", "int4"};

// Coordinates in which a few leading ones say most: rows x become V (x - mean).
struct Basis {
    std::vector<double> mean;    // n_cols
    std::vector<float> vectors;  // V, [spread.size()][n_cols]: orthonormal up to rounding
    std::vector<double> spread;  // standard deviation of each coordinate
    std::optional<double> defect = std::nullopt;  // |V V^T - I|, where somebody has computed it before
};

struct IndexOptions {
    Metric metric = Metric::cosine;
    Dtype dtype = Dtype::f32;
    std::int64_t n_cols = 0;
    bool codes[kCodeKinds] = {true};     // which to keep
    std::shared_ptr<const Basis> basis;  // for rotated codes; cosine: of rows of length 1
    bool copies_rows = false;  // else rows are read where they lie, if they are contiguous and aligned
};

struct IndexStats {
    std::int64_t rows = 0;          // that can be found
    std::int64_t removed = 0;       // places not yet reclaimed
    std::int64_t pages = 0;
    std::int64_t copied_rows = 0;   // kept by the index itself
    std::uint64_t code_bytes = 0;   // codes and their scalars
    std::uint64_t row_bytes = 0;    // of copied rows
    std::uint64_t table_bytes = 0;  // ids and places
};

// What codes mean and how their arrays are laid out: another number, other codes.
inline constexpr int kCodesLayout = 1;

// One of the arrays that an index consists of, in the order of positions.
struct SavedArray {
    std::string name;
    std::string type;                          // as safetensors calls it
    std::vector<std::int64_t> shape;
    const void* data = nullptr;                // null: just the description
    std::shared_ptr<const void> owner = nullptr;
};

// All that is not in the options. Rows and codes are read where their arrays lie.
struct SavedIndex {
    std::vector<SavedArray> arrays;
    std::int64_t page_rows = 0;
    std::int64_t next_id = 0;
    bool knows_copies = false;                 // the array "copies" is right
    bool has_codes = true;                     // false: make them anew, from the rows
    bool is_in_memory = false;                 // the arrays are the index' own
};

// Everything the index held at one moment; later changes of the index do not reach it.
class IndexView {
public:
    explicit IndexView(std::shared_ptr<const engine::Snapshot> snapshot) : snapshot_(std::move(snapshot)) {}

    const IndexOptions& options() const;
    std::int64_t n_rows() const;
    IndexStats stats() const;
    void ids(std::int64_t* out) const;  // in the order in which masks are given
    bool contains(std::int64_t id) const;

    // As for arrays (search.hpp), with ids in place of row numbers: ties go to the lowest id, and
    // exclude_self leaves out the row whose id is the query's number.
    void search(const MatrixView& queries, std::int64_t columns, const SearchOptions& options, const Execution& execution,
                void* values, std::int64_t* ids) const;
    RangeHits range_search(const MatrixView& queries, const SearchOptions& options, const Execution& execution) const;

    // The stored rows, contiguous. Throws ValueError for an id that is not there.
    void reconstruct(const std::int64_t* ids, std::int64_t n, void* out) const;

    // What makes an index like this one again, less the arrays' data: read() has them.
    SavedIndex saved() const;
    // Rows [first, first + n) of saved().arrays[array].
    void read(std::size_t array, std::int64_t first, std::int64_t n, void* out) const;
    // |V V^T - I| of the options' basis; 0 without one.
    double basis_defect() const;

private:
    std::shared_ptr<const engine::Snapshot> snapshot_;
};

class Index {
public:
    explicit Index(const IndexOptions& options);
    // An index that was saved. Nothing in it is trusted as far as memory goes; throws ValueError.
    Index(const IndexOptions& options, const SavedIndex& saved, const Execution& execution);
    ~Index();
    Index(const Index&) = delete;
    Index& operator=(const Index&) = delete;

    const IndexOptions& options() const;

    // What searches from now on see. Never waits for a change that is under way.
    IndexView view() const;

    // One change at a time; each is seen whole or not at all. `owner` keeps rows alive that are read
    // where they lie. `ids`: null for the numbers after the largest so far.
    std::vector<std::int64_t> add(const MatrixView& rows, const std::int64_t* ids, std::shared_ptr<const void> owner,
                                  const Execution& execution);
    void update(const std::int64_t* ids, const MatrixView& rows, std::shared_ptr<const void> owner, const Execution& execution);
    void remove(const std::int64_t* ids, std::int64_t n, const Execution& execution);

private:
    std::unique_ptr<engine::IndexStore> store_;
};

}  // namespace embmath
