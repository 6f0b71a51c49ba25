// SPDX-License-Identifier: Apache-2.0
//
// For fuzz targets: each virtio device behind a core, on memory and a loop of its own, and a driver's way to
// DRIVER_OK. Disks are memory, frames go to a socket that nobody reads, entropy counts.
#pragma once

#include "devices/virtio/blk.h"
#include "devices/virtio/core_fakes.h"
#include "devices/virtio/net_fakes.h"
#include "devices/virtio/rng.h"
#include "vmm/base/fuzz.h"

#include <sys/mman.h>

namespace godwit::virtio::test {

enum class Kind : std::uint8_t { Fake, Blk, Net, Rng };
inline constexpr std::uint8_t kKinds = 4;

inline constexpr Gpa kRings{0x10000};   // 0x4000 for each queue
inline constexpr Gpa kFreeRam{0x40000}; // up to the end of RAM
inline constexpr std::uint64_t kDiskBytes = 64 * kSectorSize;

class CountingSource final : public EntropySource {
  public:
    ssize_t read(std::span<std::byte> out) override {
        for (std::byte& byte : out)
            byte = static_cast<std::byte>(++count_);
        return static_cast<ssize_t>(out.size());
    }
    std::string_view name() const override { return "counting"; }

  private:
    unsigned count_ = 0;
};

class FuzzMachine {
  public:
    explicit FuzzMachine(Kind kind) : kind_(kind), device_(make()) {
        core.emplace(*device_, *memory);
        core->attach(transport);
        for (std::uint16_t i = 0; i < core->queue_count(); ++i)
            drivers.emplace_back(*memory, std::min<std::uint16_t>(core->max_queue_size(i), 64),
                                 Gpa{kRings.value + 0x4000u * i});
    }
    ~FuzzMachine() { (void)core->pause(); }

    Kind kind() const { return kind_; }
    std::string_view record() const { return core->traits().record; }

    void go_live(std::uint64_t features) {
        core->set_status(0);
        core->set_status(ACKNOWLEDGE | DRIVER);
        core->set_driver_features(features);
        core->set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        for (std::uint16_t i = 0; i < core->queue_count(); ++i) {
            drivers[i] = FakeDriver{*memory, drivers[i].size(), drivers[i].addresses().desc};
            drivers[i].set_avail_index(0);
            drivers[i].set_used_index(0);
            core->set_queue_size(i, drivers[i].size());
            core->set_queue_addresses(i, drivers[i].addresses());
            core->enable_queue(i);
        }
        core->set_status(core->status() | DRIVER_OK);
    }
    void turn() {
        loop->post([this] { loop->quit(); });
        loop->run();
    }
    // Precondition: paused.
    std::vector<std::byte> save() {
        StateWriter writer{record(), core->traits().state_version};
        must(core->save(writer));
        return {writer.bytes().begin(), writer.bytes().end()};
    }
    Status load(std::span<const std::byte> bytes) {
        ByteReader in{bytes};
        StateReader reader{in, record()};
        TRY(core->load(reader, core->traits().state_version));
        if (!in.at_end())
            return corrupt("{} bytes are left", in.remaining());
        return {};
    }
    // Every access to a disk that is cut fails.
    void cut_disk() { (void)!::ftruncate(disk_.get(), 0); }

    std::unique_ptr<Loop> loop = must(Loop::create());
    std::unique_ptr<GuestMemory> memory = must(GuestMemory::create(1 << 20, 1 << 20));
    FakeTransport transport;
    Wire wire; // of a network device

  private:
    std::unique_ptr<Device> make() {
        switch (kind_) {
        case Kind::Fake:
            break;
        case Kind::Blk: {
            disk_ = Fd::adopt(::memfd_create("disk", MFD_CLOEXEC));
            if (!disk_ || ::ftruncate(disk_.get(), static_cast<off_t>(kDiskBytes)) != 0)
                throw std::runtime_error{"no memory for a disk"};
            auto image = must(BlkImage::open(fmt::format("/proc/self/fd/{}", disk_.get()), false));
            return must(Blk::create(*loop, std::move(image),
                                    {.id = "disk0",
                                     .serial = "a-serial",
                                     .num_queues = 2,
                                     .queue_size = 64,
                                     .write_errors = ErrorPolicy::Stop,
                                     .read_errors = ErrorPolicy::Stop}));
        }
        case Kind::Net:
            return must(Net::create({.mac = kTestMac, .mtu = std::uint16_t{1500}},
                                    std::make_unique<SocketBackend>(wire), *loop));
        case Kind::Rng:
            return std::make_unique<Rng>("rng0", std::make_unique<CountingSource>(), *loop);
        }
        return std::make_unique<FakeDevice>();
    }

    const Kind kind_;
    Fd disk_;
    std::unique_ptr<Device> device_;

  public:
    std::optional<Core> core; // goes first
    std::vector<FakeDriver> drivers;
};

} // namespace godwit::virtio::test
