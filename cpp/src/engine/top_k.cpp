#include "engine/top_k.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/dtype.hpp"
#include "runtime/memory.hpp"
#include "runtime/parallel.hpp"

namespace embmath::engine {

namespace {

constexpr std::int64_t kChunk = 4096;  // elements looked at together: 16 KiB of float32

template <class T>
T read(const std::byte* p) {
    T value;
    std::memcpy(&value, p, sizeof(T));
    return value;
}

std::size_t size_of(ArrayType type) {
    switch (type) {
        case ArrayType::i8:
        case ArrayType::u8: return 1;
        case ArrayType::f16:
        case ArrayType::bf16: return 2;
        case ArrayType::f32:
        case ArrayType::i32: return 4;
        default: return 8;
    }
}

struct RowOut {
    void* values;
    std::int64_t* indices;
};

// float32 keys, 32-bit indices: everything that float32 holds exactly, in rows below 2^32 elements.
class KeySelector {
public:
    KeySelector(const kernel::KernelTable& table, std::int64_t n, std::int64_t k, bool largest)
        : select_(table.select[static_cast<int>(kernel::SelectOp::affine_f32_1)]),
          k_(static_cast<std::size_t>(k)),
          sign_(largest ? 1.0F : -1.0F),
          chunk_(kChunk), mul_(kChunk), add_(kChunk), ids_(kChunk), valid_(kChunk / kernel::kBlockRows),
          keys_(static_cast<std::size_t>(std::min(8 * k, n) + 2 * kChunk)) {
        std::fill(mul_.begin(), mul_.end(), sign_);
        std::fill(add_.begin(), add_.end(), 0.0F);
    }

    template <class Decode>
    void run(runtime::Worker& worker, std::int64_t n, const Decode& decode, std::vector<std::int64_t>& best) {
        count_ = 0;
        threshold_ = -std::numeric_limits<float>::infinity();
        for (std::int64_t begin = 0; begin < n; begin += kChunk) {
            worker.checkpoint();
            const std::int64_t size = std::min(kChunk, n - begin);
            float* chunk = chunk_.data();
            std::uint32_t* ids = ids_.data();
            for (std::int64_t i = 0; i < size; ++i) chunk[i] = decode(begin + i);
            for (std::int64_t i = 0; i < size; ++i) ids[i] = static_cast<std::uint32_t>(begin + i);
            append(static_cast<std::size_t>(size));
            if (count_ + kChunk > keys_.size()) compact();
        }
        compact();
        std::sort(keys_.data(), keys_.data() + count_, std::greater<>());
        best.clear();
        for (std::size_t i = 0; i < count_; ++i) best.push_back(core::key_row(keys_[i]));
    }

private:
    void append(std::size_t size) {
        const std::size_t n_blocks = (size + kernel::kBlockRows - 1) / kernel::kBlockRows;
        std::fill(chunk_.data() + size, chunk_.data() + n_blocks * kernel::kBlockRows, std::numeric_limits<float>::quiet_NaN());
        for (std::size_t block = 0; block < n_blocks; ++block) {
            const float* x = chunk_.data() + block * kernel::kBlockRows;
            unsigned valid = 0;
            for (unsigned lane = 0; lane < kernel::kBlockRows; ++lane) valid |= (x[lane] == x[lane] ? 1u : 0u) << lane;
            valid_[block] = static_cast<std::uint16_t>(valid);
        }
        count_ += select_({chunk_.data(), nullptr, n_blocks, mul_.data(), {add_.data()}, 1.0F, 0.0F, {}, threshold_,
                           ids_.data(), valid_.data(), nullptr, 0xffffffffu, keys_.data() + count_});
    }

    void compact() {
        if (count_ <= k_) return;
        std::nth_element(keys_.data(), keys_.data() + (k_ - 1), keys_.data() + count_, std::greater<>());
        threshold_ = core::key_score(keys_[k_ - 1]);
        count_ = k_;
    }

    kernel::SelectFn select_;
    std::size_t k_;
    float sign_;
    runtime::AlignedArray<float> chunk_, mul_, add_;
    runtime::AlignedArray<std::uint32_t> ids_;
    runtime::AlignedArray<std::uint16_t> valid_;
    runtime::AlignedArray<core::Key> keys_;
    std::size_t count_ = 0;
    float threshold_ = 0.0F;
};

// Any ordered type and any length: a heap with the worst of the best in front.
template <class T, class Decode>
void select_by_heap(runtime::Worker& worker, std::int64_t n, std::int64_t k, bool largest, const Decode& decode,
                    std::vector<std::int64_t>& best) {
    struct Item {
        T value;
        std::int64_t index;
    };
    const auto is_better = [largest](const Item& a, const Item& b) {
        if (a.value != b.value) return largest ? a.value > b.value : a.value < b.value;
        return a.index < b.index;
    };
    std::vector<Item> heap;
    for (std::int64_t i = 0; i < n; ++i) {
        if (i % kChunk == 0) worker.checkpoint();
        const Item item{decode(i), i};
        if (item.value != item.value) continue;
        if (static_cast<std::int64_t>(heap.size()) < k) {
            heap.push_back(item);
            std::push_heap(heap.begin(), heap.end(), is_better);
        } else if (is_better(item, heap.front())) {
            std::pop_heap(heap.begin(), heap.end(), is_better);
            heap.back() = item;
            std::push_heap(heap.begin(), heap.end(), is_better);
        }
    }
    std::sort(heap.begin(), heap.end(), is_better);
    best.clear();
    for (const Item& item : heap) best.push_back(item.index);
}

// NaN elements, in order, until there are k.
template <class IsNan>
void append_nan(std::int64_t n, std::int64_t k, const IsNan& is_nan, std::vector<std::int64_t>& best) {
    for (std::int64_t i = 0; i < n && static_cast<std::int64_t>(best.size()) < k; ++i) {
        if (is_nan(i)) best.push_back(i);
    }
}

class Selector {
public:
    Selector(const kernel::KernelTable& table, const ArrayView& array, std::int64_t k, bool largest)
        : array_(array), k_(k), largest_(largest), keys_(table, array.n_cols, k, largest) {}

    void run(runtime::Worker& worker, std::int64_t row, RowOut out) {
        worker_ = &worker;
        const auto* data = static_cast<const std::byte*>(array_.data) + row * array_.row_stride;
        switch (array_.type) {
            case ArrayType::f16: return run_narrow<core::F16>(data, out);
            case ArrayType::bf16: return run_narrow<core::BF16>(data, out);
            case ArrayType::f32: return run_narrow<core::F32>(data, out);
            case ArrayType::i8: return run_narrow<core::I8>(data, out);
            case ArrayType::u8: return run_narrow<core::U8>(data, out);
            case ArrayType::f64: return run_wide<double>(data, out);
            case ArrayType::i32: return run_wide<std::int32_t>(data, out);
            case ArrayType::i64: return run_wide<std::int64_t>(data, out);
        }
    }

private:
    template <class D>
    void run_narrow(const std::byte* data, RowOut out) {
        using T = typename D::storage;
        if (array_.col_stride == sizeof(T)) {  // a constant stride lets the compiler vectorise
            select<T>(data, [=](std::int64_t i) { return D::to_f32(read<T>(data + i * std::int64_t{sizeof(T)})); }, out);
        } else {
            select<T>(data, [=, this](std::int64_t i) { return D::to_f32(read<T>(data + i * array_.col_stride)); }, out);
        }
    }

    template <class T>
    void run_wide(const std::byte* data, RowOut out) {
        select<T>(data, [=, this](std::int64_t i) { return read<T>(data + i * array_.col_stride); }, out);
    }

    template <class T, class Decode>
    void select(const std::byte* data, const Decode& decode, RowOut out) {
        using Value = decltype(decode(0));
        constexpr bool kHasKeys = std::is_same_v<Value, float>;
        const bool is_short = array_.n_cols < std::int64_t{1} << 32;
        if constexpr (kHasKeys) {
            if (is_short) keys_.run(*worker_, array_.n_cols, decode, best_);
        }
        if (!kHasKeys || !is_short) select_by_heap<Value>(*worker_, array_.n_cols, k_, largest_, decode, best_);
        append_nan(array_.n_cols, k_, [&](std::int64_t i) { return decode(i) != decode(i); }, best_);
        write<T>(data, out);
    }

    template <class T>
    void write(const std::byte* data, RowOut out) const {
        for (std::size_t i = 0; i < best_.size(); ++i) {
            static_cast<T*>(out.values)[i] = read<T>(data + best_[i] * array_.col_stride);
            out.indices[i] = best_[i];
        }
    }

    runtime::Worker* worker_ = nullptr;
    const ArrayView& array_;
    std::int64_t k_;
    bool largest_;
    KeySelector keys_;
    std::vector<std::int64_t> best_;
};

}  // namespace

void top_k(const kernel::KernelTable& table, const ArrayView& array, std::int64_t k, bool largest,
           const Execution& execution, void* values, std::int64_t* indices) {
    if (k == 0 || array.n_rows == 0) return;
    const std::size_t row_bytes = static_cast<std::size_t>(k) * size_of(array.type);
    const double work = static_cast<double>(array.n_rows) * static_cast<double>(array.n_cols);
    const int workers = static_cast<int>(std::min<std::int64_t>(runtime::worker_count(execution, work), array.n_rows));
    runtime::Tasks rows(array.n_rows);
    runtime::run(execution, workers, array.n_rows, [&](runtime::Worker& worker) {
        Selector selector(table, array, k, largest);
        for (std::int64_t row; rows.take(row);) {
            worker.checkpoint();
            selector.run(worker, row, {static_cast<std::byte*>(values) + static_cast<std::size_t>(row) * row_bytes, indices + row * k});
            worker.advance(1);
        }
    });
}

}  // namespace embmath::engine
