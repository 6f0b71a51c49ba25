// SPDX-License-Identifier: Apache-2.0
//
// What the board knows of a device's registers: an offset and bytes. The same contract serves port I/O, MMIO
// and PCI BARs; one device may be mapped at several ranges.
#pragma once

#include "vmm/base/result.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>

namespace godwit {

// Called on vCPU threads, several at once. A device that is owned by the loop wraps itself in LoopBusDevice.
class BusDevice {
  public:
    virtual ~BusDevice() = default;
    virtual std::string_view name() const = 0;
    // `data` holds 1 to 8 bytes (1, 2 or 4 on the port bus), little-endian. offset + data.size() lies inside
    // the range that was mapped. An access that the device does not know reads as zeros and writes nothing.
    virtual void read(std::uint64_t offset, std::span<std::byte> data) = 0;
    virtual void write(std::uint64_t offset, std::span<const std::byte> data) = 0;
};

// An address space of device registers. Any thread; mapping may change while vCPUs run (PCI BARs move).
class Bus {
  public:
    explicit Bus(std::string name) : name_(std::move(name)) {}

    // Refuses a range that is empty, wraps or overlaps another one, naming both. The device must outlive the
    // mapping.
    Status map(std::uint64_t base, std::uint64_t length, BusDevice& device);
    void unmap(std::uint64_t base);

    // False when nobody is mapped there: reads then give all ones, as on real buses.
    bool read(std::uint64_t address, std::span<std::byte> data) const;
    bool write(std::uint64_t address, std::span<const std::byte> data) const;

  private:
    struct Range {
        std::uint64_t length;
        BusDevice* device;
    };
    const Range* find(std::uint64_t address, std::size_t size, std::uint64_t* offset) const;

    std::string name_;
    mutable std::shared_mutex mutex_;
    std::map<std::uint64_t, Range> ranges_; // by base
};

} // namespace godwit
