// SPDX-License-Identifier: Apache-2.0
//
// Block device, virtio 1.2 section 5.2, on a raw image or a host block device. Requests become io_uring
// operations of the loop; completions of one turn are published together, with at most one interrupt.
// Migrates: requests that failed and wait for being tried again, none that are in flight, since stop()
// drains; the cache mode travels in the configuration space. Threads: loop only, except where said.
#pragma once

#include "devices/virtio/blk_image.h"
#include "devices/virtio/blk_request.h"
#include "devices/virtio/blk_stalled.h"
#include "devices/virtio/device.h"
#include "vmm/base/log.h"
#include "vmm/loop/loop.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace godwit::virtio {

struct BlkOptions {
    std::string id;               // for messages
    std::string serial;           // what GET_ID answers, up to 20 bytes
    std::uint16_t num_queues = 1; // VIRTIO_BLK_F_MQ is offered from 2 on
    std::uint16_t queue_size = 256;
    std::chrono::seconds drain_limit{30}; // how long stop() waits for the host's disk
    std::uint64_t features_off = 0;       // not offered (feature_properties.h)
    ErrorPolicy write_errors = kDefaultWriteErrors, read_errors = kDefaultReadErrors;
    // Hears of each request that stalls and, once in a second, of others that failed. May not call back.
    std::function<void(const BlkError&)> failed;
};

class Blk final : public Device, private BlkRequestOwner {
  public:
    // Before the loop runs, or on its thread. The loop outlives the device.
    static Result<std::unique_ptr<Blk>> create(Loop& loop, BlkImage image, const BlkOptions& options);
    ~Blk() override;

    // Who owns the guest holds the lock of its disk: take it before the guest runs, give it away when it is
    // paused for another owner. As BlkImage; any thread, one at a time, while the device is stopped.
    Status lock() { return image_.lock(); }
    Status unlock() { return image_.unlock(); }
    const BlkImage& image() const { return image_; }
    const std::string& serial() const { return backend_.serial; }
    // Requests failed and are tried again when the device is started next: somebody should stop the guest.
    bool stalled() const { return !stalled_.empty(); }
    std::uint32_t block_size() const { return config().blk_size; }
    virtio_blk_config config() const; // as the driver reads it

    const DeviceTraits& traits() const override { return traits_; }
    void read_config(std::uint32_t offset, std::span<std::byte> out) override;
    void write_config(std::uint32_t offset, std::span<const std::byte> data) override;
    void features_negotiated(std::uint64_t features) override;

    Status start(const Activation& activation) override;
    void queue_notified(std::uint16_t queue) override;
    Status stop() override;
    void reset() override;

    Status save_device(StateWriter& writer, std::uint32_t low_features) override;
    Status load_config(std::span<const std::byte> config) override;
    Status load_device(StateReader& reader, std::uint32_t low_features) override;
    Status check_loaded(std::uint64_t features) override;
    Status commit_load(std::uint64_t features) override;
    void discard_load() override;

  private:
    struct Queue {
        SplitQueue* ring = nullptr; // null while stopped, or when the driver did not enable it
        std::vector<BlkRequest*> free;
        std::vector<SplitQueue::Used> done; // finished, not yet published
    };

    Blk(Loop& loop, BlkImage image, const BlkOptions& options);
    void request_finished(BlkRequest& request) override;
    ErrorAction request_failed(BlkError failure, bool may_stop) override;
    void request_stalled(BlkRequest& request) override;
    void ended();
    void try_stalled_again();

    // Takes what the ring offers; false when the driver broke it.
    bool take_requests(Queue& queue);
    void publish();
    void broken(const Error& what);

    Loop& loop_;
    BlkImage image_;
    std::unique_ptr<DeviceDiscarder> discarder_; // of a block device that can
    BlkBackend backend_;
    DeviceTraits traits_;

    DeviceHost* host_ = nullptr;
    bool accepting_ = false; // started, and not broken
    bool stop_failed_ = false;
    std::vector<Queue> queues_;
    std::vector<std::unique_ptr<BlkRequest>> requests_;
    Gate in_flight_;
    const std::chrono::seconds drain_limit_;
    std::unique_ptr<Timer> publication_; // fires at the end of the turn in which something finished
    bool publication_armed_ = false;

    const ErrorPolicy write_errors_, read_errors_;
    const std::function<void(const BlkError&)> failed_;
    std::chrono::steady_clock::time_point next_report_{};
    std::vector<StalledRequest> stalled_;

    std::optional<bool> loaded_writeback_;
    std::vector<StalledRequest> loaded_stalled_;
    log::RateLimit host_errors_;
};

} // namespace godwit::virtio
