// Aligned storage, and arrays that may also lie in somebody else's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

namespace embmath::runtime {

template <class T>
class AlignedArray {
public:
    AlignedArray() = default;
    explicit AlignedArray(std::size_t size) : size_(size) {
        if (size == 0) return;
        const std::size_t bytes = (size * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
        data_.reset(static_cast<T*>(std::aligned_alloc(kAlignment, bytes)));
        if (data_ == nullptr) throw std::bad_alloc();
    }

    T* data() { return data_.get(); }
    const T* data() const { return data_.get(); }
    std::size_t size() const { return size_; }
    T& operator[](std::size_t i) { return data_.get()[i]; }
    const T& operator[](std::size_t i) const { return data_.get()[i]; }
    T* begin() { return data(); }
    const T* begin() const { return data(); }
    const T* end() const { return data() + size_; }
    T* end() { return data() + size_; }

private:
    static constexpr std::size_t kAlignment = 64;
    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T, Free> data_;
    std::size_t size_ = 0;
};

// An array of its own, or one that somebody else keeps alive: that one is only read. Copies have
// memory of their own.
template <class T>
class SharedArray {
public:
    SharedArray() = default;
    explicit SharedArray(std::size_t size) : own_(size), size_(size) {}
    SharedArray(std::shared_ptr<const void> owner, const T* data, std::size_t size)
        : owner_(std::move(owner)), lent_(data), size_(size) {}
    SharedArray(const SharedArray& other) : own_(other.size()), size_(other.size()) {
        if (size_ != 0) std::memcpy(own_.data(), other.data(), size_ * sizeof(T));
    }
    SharedArray(SharedArray&&) = default;
    SharedArray& operator=(SharedArray&&) = default;
    SharedArray& operator=(const SharedArray&) = delete;

    // Null for memory that is lent: whoever writes it anyway fails at once.
    T* data() { return own_.data(); }
    const T* data() const { return lent_ != nullptr ? lent_ : own_.data(); }
    std::size_t size() const { return size_; }
    T& operator[](std::size_t i) { return data()[i]; }
    const T& operator[](std::size_t i) const { return data()[i]; }

private:
    AlignedArray<T> own_;
    std::shared_ptr<const void> owner_;
    const T* lent_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace embmath::runtime
