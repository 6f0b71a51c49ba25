// SPDX-License-Identifier: Apache-2.0
//
// Bytes that a reader has not taken yet: a queue with a fixed limit. No locks: the console's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace godwit {

class OutputQueue {
  public:
    explicit OutputQueue(std::size_t limit) : limit_(limit) {}

    bool empty() const { return size() == 0; }
    std::size_t size() const { return bytes_.size() - head_; }
    std::size_t room() const { return limit_ - size(); }
    std::span<const std::byte> front() const { return std::span{bytes_}.subspan(head_); }

    // How many found room.
    std::size_t push(std::span<const std::byte> bytes) {
        const auto part = bytes.first(std::min(bytes.size(), room()));
        bytes_.insert(bytes_.end(), part.begin(), part.end());
        return part.size();
    }
    // Keeps the newest. How many of the old ones and of these were dropped.
    std::size_t push_dropping(std::span<const std::byte> bytes) {
        const std::size_t before = size() + bytes.size();
        if (bytes.size() > limit_)
            bytes = bytes.last(limit_);
        if (bytes.size() > room())
            pop(bytes.size() - room());
        push(bytes);
        return before - size();
    }
    // Precondition: count <= size().
    void pop(std::size_t count) {
        head_ += count;
        if (empty()) {
            std::vector<std::byte>{}.swap(bytes_); // idle consoles hold no memory
            head_ = 0;
        } else if (head_ >= limit_) {
            bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(head_));
            head_ = 0;
        }
    }

  private:
    std::size_t limit_;
    std::vector<std::byte> bytes_;
    std::size_t head_ = 0;
};

} // namespace godwit
