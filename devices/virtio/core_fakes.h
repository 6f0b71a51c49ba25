// SPDX-License-Identifier: Apache-2.0
//
// A transport and a device that only count and remember, for tests of the core.
#pragma once

#include "devices/virtio/core.h"
#include "devices/virtio/driver_fake.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

namespace godwit::virtio {

class FakeTransport final : public Transport {
  public:
    std::string path() const override { return "fake:0"; }
    void notify_queue(std::uint16_t queue) override { ++queue_interrupts[queue]; }
    void notify_config() override { ++config_interrupts; }
    Status start_doorbells() override {
        if (fail_doorbells)
            return error(ErrorCode::System, "no more doorbells");
        doorbells = true;
        return {};
    }
    void stop_doorbells() override { doorbells = false; }
    void device_reset() override { ++resets; }
    void reset() override {}
    bool legacy() const override { return legacy_driver; }
    bool legacy_capable() const override { return legacy_allowed; }

    Status save_config(StateWriter& writer) override {
        writer.value("config_vector", config_vector);
        return {};
    }
    Status save_queue(StateWriter& writer, std::uint16_t queue) override {
        writer.value("vector", vectors[queue]);
        return {};
    }
    bool has_extra_state() const override { return true; }
    Status save_extra_state(StateWriter& writer) override {
        const auto nesting = writer.begin_subsection("virtio_fake/state", 1);
        writer.value("register", extra);
        writer.end(nesting);
        return {};
    }
    Status load_config(StateReader& reader) override { return reader.value("config_vector", loaded_config); }
    Status load_queue(StateReader& reader, std::uint16_t queue) override {
        return reader.value("vector", loaded_vectors.at(queue));
    }
    Status load_extra_state(StateReader& reader) override {
        const auto header = TRY(reader.next_subsection("virtio_fake"));
        if (!header.has_value() || header->name != "virtio_fake/state")
            return reader.within(corrupt("no virtio_fake/state"));
        return reader.value("register", loaded_extra);
    }
    Status commit_load() override {
        config_vector = loaded_config;
        vectors = loaded_vectors;
        extra = loaded_extra;
        return {};
    }
    void discard_load() override { ++discards; }

    std::map<std::uint16_t, int> queue_interrupts;
    int config_interrupts = 0;
    int resets = 0;
    int discards = 0;
    bool doorbells = false;
    bool fail_doorbells = false;
    bool legacy_driver = false, legacy_allowed = false;

    std::uint16_t config_vector = 0xffff, loaded_config = 0;
    std::array<std::uint16_t, 8> vectors{}, loaded_vectors{};
    std::uint32_t extra = 0, loaded_extra = 0;
};

// Returns every buffer at once, or holds them until stop().
class FakeDevice final : public Device {
  public:
    FakeDevice() {
        traits_.device_id = kDeviceBlock;
        traits_.record = "virtio-fake";
        traits_.state_version = 3;
        traits_.features = feature(9) | feature(11);
        traits_.queue_sizes = {256, 64};
        traits_.config_length = 8;
        traits_.id = "fake0";
    }
    const DeviceTraits& traits() const override { return traits_; }
    void read_config(std::uint32_t offset, std::span<std::byte> out) override {
        std::copy_n(config.begin() + offset, out.size(), out.begin());
    }
    void write_config(std::uint32_t offset, std::span<const std::byte> data) override {
        std::copy(data.begin(), data.end(), config.begin() + offset);
    }
    void features_negotiated(std::uint64_t accepted) override { negotiated = accepted; }

    Status start(const Activation& activation) override {
        if (fail_start)
            return error(ErrorCode::System, "the backend is gone");
        ++starts;
        features = activation.features;
        queues.assign(activation.queues.begin(), activation.queues.end());
        host = activation.host;
        for (std::uint16_t i = 0; i < queues.size(); ++i)
            if (queues[i] != nullptr)
                queue_notified(i);
        return {};
    }
    void queue_notified(std::uint16_t index) override {
        ++notifications;
        Chain chain;
        for (;;) {
            auto popped = queues[index]->pop(chain);
            if (!popped.ok())
                return host->device_broken(popped.error());
            if (!popped.value())
                return;
            if (hold)
                held.push_back({index, {chain.head, 0}});
            else
                give_back(index, {chain.head, static_cast<std::uint32_t>(chain.writable_bytes)});
        }
    }
    Status stop() override {
        ++stops;
        if (fail_stop)
            return error(ErrorCode::System, "1 request does not end");
        for (const auto& [index, used] : held)
            give_back(index, used);
        held.clear();
        queues.clear();
        return {};
    }
    void reset() override { ++resets; }

    Status save_device(StateWriter& writer, std::uint32_t low_features) override {
        saved_features = low_features;
        writer.value("counter", counter);
        return {};
    }
    Status load_config(std::span<const std::byte> bytes) override {
        loaded_config.assign(bytes.begin(), bytes.end());
        return {};
    }
    Status load_device(StateReader& reader, std::uint32_t low_features) override {
        loaded_features = low_features;
        return reader.value("counter", loaded_counter);
    }
    Status check_loaded(std::uint64_t) override { return {}; }
    Status commit_load(std::uint64_t) override {
        counter = loaded_counter;
        return {};
    }
    void discard_load() override { loaded_counter = 0; }

    void give_back(std::uint16_t index, SplitQueue::Used used) {
        must(queues[index]->push(used));
        host->queue_used(index);
    }

    DeviceTraits traits_;
    std::array<std::byte, 8> config{};
    std::uint64_t negotiated = 0, features = 0;
    std::vector<SplitQueue*> queues;
    DeviceHost* host = nullptr;
    int starts = 0, stops = 0, resets = 0, notifications = 0;
    bool hold = false, fail_start = false, fail_stop = false;
    std::vector<std::pair<std::uint16_t, SplitQueue::Used>> held;
    std::uint32_t counter = 0, loaded_counter = 0, loaded_features = 0, saved_features = 0;
    std::vector<std::byte> loaded_config;
};

struct TestRam {
    std::unique_ptr<GuestMemory> ram = must(GuestMemory::create(1 << 20, 1 << 20));
};

// A core with both, and what a driver does with them.
struct CoreUnderTest {
    explicit CoreUnderTest(GuestMemory& ram) : memory(ram) { core.attach(transport); }

    void negotiate(std::uint64_t features = feature(VIRTIO_F_VERSION_1) | feature(VIRTIO_F_RING_RESET)) {
        core.set_status(ACKNOWLEDGE);
        core.set_status(ACKNOWLEDGE | DRIVER);
        core.set_driver_features(features);
        core.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    }
    void set_up(std::uint16_t index, const FakeDriver& driver) {
        core.set_queue_size(index, driver.size());
        core.set_queue_addresses(index, driver.addresses());
        core.enable_queue(index);
    }
    void driver_ok() { core.set_status(core.status() | DRIVER_OK); }
    // All of it, with both queues.
    void go_live() {
        negotiate();
        set_up(0, first);
        set_up(1, second);
        driver_ok();
    }

    GuestMemory& memory;
    FakeDevice device;
    FakeTransport transport;
    Core core{device, memory};
    FakeDriver first{memory, 256, Gpa{0x10000}};
    FakeDriver second{memory, 64, Gpa{0x18000}};
};

} // namespace godwit::virtio
