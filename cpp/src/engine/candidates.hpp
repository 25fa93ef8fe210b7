// Rows that may be among the best: taken best bound first, a few at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>

#include "core/order_key.hpp"

namespace embmath::engine {

// As many rows as a kernel scores together.
struct Group {
    static constexpr int kRows = 4;
    core::Key keys[kRows];
    int n = 0;
};

// A heap over keys that somebody else owns, less those whose bounds do not reach `least` (most, as a
// rule: they came under an older threshold).
class Candidates {
public:
    Candidates(core::Key* keys, std::size_t count, float least) : keys_(keys), end_(keys + count) { discard(least); }

    // The best of them, as far as their bounds reach `least`.
    void take(float least, Group& group) {
        for (group.n = 0; group.n < Group::kRows && end_ != keys_ && !(core::key_score(*keys_) < least); ++group.n) {
            std::pop_heap(keys_, end_);
            group.keys[group.n] = *--end_;
        }
    }

    void put_back(const Group& group) {
        for (int i = 0; i < group.n; ++i) {
            *end_++ = group.keys[i];
            std::push_heap(keys_, end_);
        }
    }

    // Leaves those whose bounds reach `least`; returns how many.
    std::size_t discard(float least) {
        end_ = std::remove_if(keys_, end_, [least](core::Key key) { return core::key_score(key) < least; });
        std::make_heap(keys_, end_);
        return static_cast<std::size_t>(end_ - keys_);
    }

private:
    core::Key *keys_, *end_;
};

}  // namespace embmath::engine
