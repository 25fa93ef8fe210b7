// Cuts a workspace into arrays. Without memory it only counts, so that sizes and pointers come from
// the same lines.
#pragma once

#include <cstddef>
#include <cstdint>

namespace embmath::cuda {

class Carver {
public:
    static constexpr std::size_t kAlignment = 256;

    explicit Carver(void* memory) : memory_(static_cast<unsigned char*>(memory)) {}

    template <class T>
    T* take(std::int64_t n) {
        T* array = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
        used_ += (static_cast<std::size_t>(n) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
        return array;
    }
    std::size_t used() const { return used_; }

private:
    unsigned char* memory_;
    std::size_t used_ = 0;
};

}  // namespace embmath::cuda
