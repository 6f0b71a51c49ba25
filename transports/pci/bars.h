// SPDX-License-Identifier: Apache-2.0
//
// Memory base address registers of one function (PCI 3.0 section 6.2.5) and the pieces of the MMIO bus that
// they claim. A BAR is mapped while memory decoding is on and its address lies wholly in one of the host's
// windows; anything else that a guest writes there leaves it unmapped. Threads: loop.
#pragma once

#include "devices/bus.h"
#include "devices/loop_bus_device.h"
#include "transports/pci/config_space.h"
#include "vmm/base/address.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace godwit::pci {

// A range of guest physical addresses that the host bridge forwards to its bus. Size 0 holds nothing.
struct AddressWindow {
    std::uint64_t base = 0;
    std::uint64_t size = 0;
    bool contains(std::uint64_t address, std::uint64_t length) const {
        return length <= size && address >= base && address - base <= size - length;
    }
};

struct MmioWindows {
    AddressWindow below_4g;
    AddressWindow above_4g;
    bool contain(std::uint64_t address, std::uint64_t length) const {
        return below_4g.contains(address, length) || above_4g.contains(address, length);
    }
};

class Bars {
  public:
    enum class Kind { Memory32, Memory64Prefetchable };

    Bars(ConfigSpace& config, Bus& bus, const MmioWindows& windows, Loop& loop)
        : config_(config), bus_(bus), windows_(windows), loop_(loop) {}
    ~Bars();
    Bars(const Bars&) = delete;
    Bars& operator=(const Bars&) = delete;

    // Before the guest runs. `size` is a power of two, at least 16; a 64-bit BAR takes index and index + 1.
    // `registers` is called on the loop's thread and outlives this.
    void add(unsigned index, Kind kind, std::uint64_t size, BusDevice& registers);

    // Follows what configuration space says now. True when something was unmapped, so that another BAR which
    // it overlapped can be mapped.
    bool update();

    // Where the guest reaches this BAR now, if it does.
    std::optional<Gpa> address(unsigned index) const;

  private:
    struct Bar {
        unsigned index;
        Kind kind;
        std::uint64_t size;
        std::unique_ptr<LoopBusDevice> device;
        std::optional<std::uint64_t> mapped;
    };
    std::optional<std::uint64_t> programmed(const Bar& bar) const;

    ConfigSpace& config_;
    Bus& bus_;
    const MmioWindows& windows_;
    Loop& loop_;
    std::vector<Bar> bars_;
};

} // namespace godwit::pci
