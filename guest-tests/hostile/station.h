// SPDX-License-Identifier: Apache-2.0
//
// A real device with its host side (a disk in memory, a wire, a source of bytes), and the guest's programs
// for it: how it is set up, and what a good request is.
#pragma once

#include "devices/virtio/blk_spec.h"
#include "devices/virtio/core.h"
#include "devices/virtio/driver_fake.h"
#include "devices/virtio/net_fakes.h"
#include "guest-tests/hostile/driver.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>

namespace godwit::hostile {

enum class Kind { Blk, Net, Rng };

// Sectors of the disk. Each begins with its number; the rest is kDiskByte.
inline constexpr std::uint64_t kDiskSectors = 32;
inline constexpr std::byte kDiskByte{0xa5};
// What the source of the entropy device gives.
inline constexpr std::byte kRandomByte{0x5a};
// Entries of every ring that is set up as it should be; the entropy device has no more than 8.
inline constexpr std::uint16_t kRingSize = 16;

// How far the driver has come.
enum class Stage {
    Reset,      // status is 0
    Driver,     // ACKNOWLEDGE and DRIVER
    Negotiated, // FEATURES_OK
    QueuesSet,  // all but DRIVER_OK
    Live,
};

struct StationOptions {
    std::uint64_t features_off = 0; // of the offered features, not accepted
    std::uint64_t features_on = 0;  // accepted although the driver usually does not
    bool readonly = false;          // the disk
};

class Station {
  public:
    // Its memory in the guest begins at `memory_at` and has kRegion bytes.
    static constexpr std::uint64_t kRegion = 0x18000;
    Station(Kind kind, StationOptions options, Loop& loop, GuestMemory& memory, Gpa memory_at);
    ~Station();

    // ---- the host

    Kind kind() const { return kind_; }
    virtio::Core& core() { return *core_; }
    GuestMemory& memory() { return memory_; }
    // Bytes of the disk.
    Bytes disk(std::uint64_t sector, std::size_t count) const;
    virtio::Wire& wire() { return wire_; }

    // ---- the driver

    void use(std::unique_ptr<Driver> driver) { driver_ = std::move(driver); }
    Driver& driver() { return *driver_; }
    virtio::FakeDriver& ring(std::uint16_t queue) { return rings_.at(queue); }
    std::uint16_t queue_count() const { return static_cast<std::uint16_t>(rings_.size()); }
    std::uint64_t wanted_features();
    // From a reset on. False when a step was refused.
    bool set_up(Stage stage);
    // Goes on from one stage to another.
    bool go_on(Stage from, Stage to);
    // Rings as they are before anything was offered.
    void clear_rings();
    // One good request on each queue, within `patience` each.
    bool works(std::chrono::milliseconds patience);
    // Waits for something that the device used in this queue. Nothing as soon as it is clear that nothing
    // will come.
    std::optional<virtio::virtq_used_elem> wait_used(std::uint16_t queue, std::chrono::milliseconds patience);
    // The driver of a guest whose memory and device state have moved here from there.
    void continue_as(const Station& there);

    // Memory for requests. Nothing else of the region is used by good requests.
    Gpa at(std::uint64_t offset) const { return Gpa{memory_at_.value + offset}; }
    static constexpr std::uint64_t kRings = 0x0000, kRingStride = 0x2000, kScratch = 0x6000, kGood = 0x14000;

  private:
    bool blk_works(std::chrono::milliseconds patience);
    bool net_works(std::chrono::milliseconds patience);
    bool rng_works(std::chrono::milliseconds patience);
    std::uint8_t blk_request(std::uint32_t type, std::uint64_t sector, std::chrono::milliseconds patience);

    const Kind kind_;
    const StationOptions options_;
    Loop& loop_;
    GuestMemory& memory_;
    const Gpa memory_at_;
    Fd image_;
    virtio::Wire wire_;
    std::unique_ptr<virtio::Device> device_;
    std::optional<virtio::Core> core_;
    std::unique_ptr<Driver> driver_;
    std::vector<virtio::FakeDriver> rings_;
};

} // namespace godwit::hostile
