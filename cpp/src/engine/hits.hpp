// The best rows of one query, by (score, then lowest row).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace embmath::engine {

struct Hit {
    double score;  // canonical, oriented: larger is better
    std::int64_t row;
};

inline bool is_better(const Hit& a, const Hit& b) {
    return a.score > b.score || (a.score == b.score && a.row < b.row);
}

inline constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

// Keeps the `limit` best hits that score at least `floor`; NaN is never kept.
class HitList {
public:
    void reset(std::int64_t limit, double floor) {
        limit_ = limit;
        floor_ = floor;
        heap_.clear();
    }

    // A row scoring below this cannot enter; one scoring exactly this may.
    double tau() const { return is_full() ? heap_.front().score : floor_; }

    void add(const Hit& hit) {
        if (!(hit.score >= floor_)) return;
        if (!is_full()) {
            heap_.push_back(hit);
            if (limit_ != kNoLimit) std::push_heap(heap_.begin(), heap_.end(), is_better);
        } else if (is_better(hit, heap_.front())) {
            std::pop_heap(heap_.begin(), heap_.end(), is_better);
            heap_.back() = hit;
            std::push_heap(heap_.begin(), heap_.end(), is_better);
        }
    }

    void add_all(const HitList& other) {
        for (const Hit& hit : other.heap_) add(hit);
    }

    // Best first; the list is used up.
    std::vector<Hit>& sort() {
        std::sort(heap_.begin(), heap_.end(), is_better);
        return heap_;
    }

    const std::vector<Hit>& all() const { return heap_; }

private:
    bool is_full() const { return static_cast<std::int64_t>(heap_.size()) >= limit_; }

    std::int64_t limit_ = 0;
    double floor_ = 0.0;
    std::vector<Hit> heap_;  // the worst in front
};

}  // namespace embmath::engine
