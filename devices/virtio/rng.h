// SPDX-License-Identifier: Apache-2.0
//
// Entropy device, virtio 1.2 section 5.4: one queue of buffers that the device fills with random bytes.
// Missing: VIRTIO_RNG_F_LEAK (not in 1.2), a cap on the rate. Migrates: nothing but the common state, as
// QEMU's. Threads: loop only.
//
// Bytes go from the source straight into the driver's memory, without waiting, so nothing is in flight when
// the device stops. A buffer that the source has nothing for stays in the ring, and is tried again by a
// timer.
#pragma once

#include "devices/virtio/device.h"
#include "devices/virtio/entropy.h"
#include "vmm/base/log.h"
#include "vmm/loop/loop.h"

#include <memory>
#include <string>
#include <vector>

namespace godwit::virtio {

class Rng final : public Device {
  public:
    static constexpr std::uint16_t kQueueSize = 8; // as QEMU's device
    // The device may give less than was asked for (section 5.4.6.1), and the loop has other users.
    static constexpr std::size_t kBytesPerRequest = 4096;

    // `id` is for messages. The loop outlives the device.
    Rng(std::string id, std::unique_ptr<EntropySource> source, Loop& loop);

    const DeviceTraits& traits() const override { return traits_; }
    // There is no configuration space (section 5.4.4).
    void read_config(std::uint32_t, std::span<std::byte>) override {}
    void write_config(std::uint32_t, std::span<const std::byte>) override {}

    Status start(const Activation& activation) override;
    void queue_notified(std::uint16_t queue) override;
    Status stop() override;
    void reset() override {}

    Status save_device(StateWriter&, std::uint32_t) override { return {}; }
    Status load_device(StateReader&, std::uint32_t) override { return {}; }
    Status check_loaded(std::uint64_t) override { return {}; }
    Status commit_load(std::uint64_t) override { return {}; }
    void discard_load() override {}

  private:
    void turn();
    // False: the source has nothing now, and a request waits in the ring.
    Result<bool> serve();
    // Bytes written to the chain; 0: the source has none.
    Result<std::uint32_t> fill();

    const std::unique_ptr<EntropySource> source_;
    DeviceTraits traits_;

    // While started.
    DeviceHost* host_ = nullptr;
    SplitQueue* queue_ = nullptr; // null as well when broken
    bool dry_ = false;            // waiting for the timer
    std::unique_ptr<Timer> retry_;
    Chain chain_;
    std::vector<SplitQueue::Used> used_;
    log::RateLimit errors_;
};

} // namespace godwit::virtio
