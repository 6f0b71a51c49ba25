// SPDX-License-Identifier: Apache-2.0
//
// A driver's side of a split virtqueue, for tests: builds chains in guest memory, well-formed or not, and
// reads what the device used.
//
//     FakeDriver driver{*memory, 16, Gpa{0x10000}};
//     const auto head = driver.chain().readable(Gpa{0x2000}, 16).writable(Gpa{0x3000}, 512).offer();
#pragma once

#include "devices/virtio/queue.h"
#include "devices/virtio/spec.h"
#include "vmm/memory/guest_memory.h"

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <vector>

namespace godwit::virtio {

// In a test a range that is not RAM is the test's mistake.
template <class T>
T must(Result<T> result) {
    if (!result.ok())
        throw std::runtime_error{result.error().text};
    return std::move(result).value();
}
inline void must(Status status) {
    if (!status.ok())
        throw std::runtime_error{status.error().text};
}

class FakeDriver {
  public:
    // The three areas follow each other from `base`, which is 16-byte aligned.
    FakeDriver(GuestMemory& memory, std::uint16_t size, Gpa base) : memory_(&memory), size_(size) {
        at_.desc = base;
        at_.driver = Gpa{base.value + 16u * size};
        at_.device = Gpa{align_up(at_.driver.value + 6 + 2u * size, 4)};
    }

    // The same driver after its guest has moved: it goes on in a copy of its memory.
    FakeDriver moved_to(GuestMemory& memory) const {
        FakeDriver there{*this};
        there.memory_ = &memory;
        return there;
    }

    const QueueAddresses& addresses() const { return at_; }
    std::uint16_t size() const { return size_; }

    class ChainBuilder {
      public:
        explicit ChainBuilder(FakeDriver& driver) : driver_(driver) {}
        ChainBuilder& readable(Gpa at, std::uint32_t length) { return add({at.value, length, 0, 0}); }
        ChainBuilder& writable(Gpa at, std::uint32_t length) {
            return add({at.value, length, VIRTQ_DESC_F_WRITE, 0});
        }
        ChainBuilder& add(virtq_desc desc) {
            descs_.push_back(desc);
            return *this;
        }
        // Writes the chain to the descriptor table; the head can be offered later.
        std::uint16_t place() {
            const std::uint16_t head = driver_.next_free_;
            for (std::size_t i = 0; i < descs_.size(); ++i) {
                const auto next = static_cast<std::uint16_t>((driver_.next_free_ + 1u) % driver_.size_);
                if (i + 1 < descs_.size()) {
                    descs_[i].flags |= VIRTQ_DESC_F_NEXT;
                    descs_[i].next = next;
                }
                driver_.set_desc(driver_.next_free_, descs_[i]);
                driver_.next_free_ = next;
            }
            return head;
        }
        std::uint16_t offer() {
            const std::uint16_t head = place();
            driver_.offer(head);
            return head;
        }
        // The same through an indirect table at `table`.
        std::uint16_t offer_indirect(Gpa table) {
            for (std::size_t i = 0; i < descs_.size(); ++i) {
                if (i + 1 < descs_.size()) {
                    descs_[i].flags |= VIRTQ_DESC_F_NEXT;
                    descs_[i].next = static_cast<std::uint16_t>(i + 1);
                }
                must(driver_.memory_->write(Gpa{table.value + 16 * i}, descs_[i]));
            }
            return driver_.chain()
                .add({table.value, static_cast<std::uint32_t>(16 * descs_.size()), VIRTQ_DESC_F_INDIRECT, 0})
                .offer();
        }

      private:
        FakeDriver& driver_;
        std::vector<virtq_desc> descs_;
    };
    ChainBuilder chain() { return ChainBuilder{*this}; }

    void set_desc(std::uint16_t index, const virtq_desc& desc) {
        must(memory_->write(Gpa{at_.desc.value + 16u * index}, desc));
    }
    void offer(std::uint16_t head) {
        must(memory_->write(Gpa{at_.driver.value + 4 + 2u * (avail_ % size_)}, head));
        set_avail_index(static_cast<std::uint16_t>(avail_ + 1));
    }
    void set_avail_index(std::uint16_t index) {
        avail_ = index;
        must(memory_->store_release(Gpa{at_.driver.value + 2}, index));
    }
    // Starts in the middle of the index's range, as a ring that has run for a while.
    void start_at(std::uint16_t index) {
        set_avail_index(index);
        set_used_index(index);
        taken_ = index;
    }
    void set_used_index(std::uint16_t index) { must(memory_->write(Gpa{at_.device.value + 2}, index)); }
    void set_avail_flags(std::uint16_t flags) { must(memory_->write(at_.driver, flags)); }
    void set_used_event(std::uint16_t event) {
        must(memory_->write(Gpa{at_.driver.value + 4 + 2u * size_}, event));
    }

    std::uint16_t used_index() const { return must(memory_->read<std::uint16_t>(Gpa{at_.device.value + 2})); }
    std::uint16_t used_flags() const { return must(memory_->read<std::uint16_t>(at_.device)); }
    std::uint16_t avail_event() const {
        return must(memory_->read<std::uint16_t>(Gpa{at_.device.value + 4 + 8u * size_}));
    }
    std::uint16_t avail_index() const { return avail_; }
    // The next element that the device used.
    std::optional<virtq_used_elem> take_used() {
        if (taken_ == used_index())
            return std::nullopt;
        const Gpa slot{at_.device.value + 4 + 8u * (taken_ % size_)};
        ++taken_;
        return must(memory_->read<virtq_used_elem>(slot));
    }

  private:
    GuestMemory* memory_;
    std::uint16_t size_;
    QueueAddresses at_;
    std::uint16_t next_free_ = 0;
    std::uint16_t avail_ = 0;
    std::uint16_t taken_ = 0;
};

} // namespace godwit::virtio
