// SPDX-License-Identifier: Apache-2.0
//
// What a driver can do to a virtio device through any transport, right or wrong. Everything goes the guest's
// way: registers, channel programs, doorbells. One thread at a time, not the loop's.
#pragma once

#include "devices/virtio/queue.h"

#include <cstdint>
#include <vector>

namespace godwit::hostile {

using Bytes = std::vector<std::byte>;

class Driver {
  public:
    virtual ~Driver() = default;

    // Makes the device reachable, whatever was done to it before, and resets it. False when it could not be
    // reset.
    virtual bool begin() = 0;
    virtual std::uint8_t status() = 0;
    // False when the device refused a bit, or the whole.
    virtual bool set_status(std::uint8_t status) = 0;
    // 32 of the features that the device offers, and of those that the driver accepts.
    virtual std::uint32_t offered_word(std::uint32_t select) = 0;
    virtual void accept_word(std::uint32_t select, std::uint32_t features) = 0;
    std::uint64_t offered() { return std::uint64_t{offered_word(1)} << 32 | offered_word(0); }
    void accept(std::uint64_t features) {
        accept_word(0, static_cast<std::uint32_t>(features));
        accept_word(1, static_cast<std::uint32_t>(features >> 32));
    }
    // 0: there is no such queue.
    virtual std::uint16_t largest_size(std::uint16_t queue) = 0;
    // Gives the queue to the device; false when that was refused.
    virtual bool set_queue(std::uint16_t queue, std::uint16_t size, const virtio::QueueAddresses& at) = 0;
    // Interrupts of queues and of configuration changes. After the queues.
    virtual bool set_interrupts() = 0;
    virtual void notify(std::uint16_t queue) = 0;
    // `length` bytes of the configuration space, at `offset`.
    virtual Bytes read_config(std::uint32_t offset, std::uint32_t length) = 0;
    virtual void write_config(std::uint32_t offset, const Bytes& bytes) = 0;
    // Whether an interrupt said that the configuration, or the status, has changed since this was asked last.
    virtual bool take_config_interrupt() = 0;
};

} // namespace godwit::hostile
