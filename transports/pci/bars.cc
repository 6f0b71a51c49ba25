// SPDX-License-Identifier: Apache-2.0
#include "transports/pci/bars.h"

#include "vmm/base/log.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace godwit::pci {
namespace {

constexpr std::uint32_t bar_register(unsigned index) {
    return PCI_BASE_ADDRESS_0 + 4 * index;
}

} // namespace

Bars::~Bars() {
    for (const Bar& bar : bars_)
        if (bar.mapped.has_value())
            bus_.unmap(*bar.mapped);
}

void Bars::add(unsigned index, Kind kind, std::uint64_t size, BusDevice& registers) {
    assert(std::has_single_bit(size) && size >= 16 && index < kBarCount);
    const std::uint32_t at = bar_register(index);
    // The sizing protocol is nothing but this mask: address bits below the size read as zero.
    const std::uint64_t address_bits = ~(size - 1);
    if (kind == Kind::Memory64Prefetchable) {
        assert(index + 1 < kBarCount);
        config_.set(at, std::uint64_t{PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH});
        config_.make_writable(at, address_bits);
        config_.require_equal(at, 8, fmt::format("BAR {}, type and size", index));
    } else {
        config_.set(at, std::uint32_t{0});
        config_.make_writable(at, static_cast<std::uint32_t>(address_bits));
        config_.require_equal(at, 4, fmt::format("BAR {}, type and size", index));
    }
    bars_.push_back({index, kind, size, std::make_unique<LoopBusDevice>(loop_, registers), std::nullopt});
}

std::optional<std::uint64_t> Bars::programmed(const Bar& bar) const {
    if ((config_.get<std::uint16_t>(PCI_COMMAND) & PCI_COMMAND_MEMORY) == 0)
        return std::nullopt;
    const std::uint32_t at = bar_register(bar.index);
    const std::uint64_t raw = bar.kind == Kind::Memory64Prefetchable ? config_.get<std::uint64_t>(at)
                                                                     : config_.get<std::uint32_t>(at);
    const std::uint64_t address = raw & ~kBarFlags;
    if (!windows_.contain(address, bar.size)) {
        log::debug("{}: BAR {} at {:#x} is outside the windows, not mapped", bar.device->name(), bar.index,
                   address);
        return std::nullopt;
    }
    return address;
}

bool Bars::update() {
    // All that moves is unmapped first: two BARs of this function may swap places.
    bool unmapped = false;
    for (Bar& bar : bars_) {
        if (bar.mapped.has_value() && bar.mapped != programmed(bar)) {
            bus_.unmap(*bar.mapped);
            bar.mapped.reset();
            unmapped = true;
        }
    }
    for (Bar& bar : bars_) {
        if (bar.mapped.has_value())
            continue;
        const auto address = programmed(bar);
        if (!address.has_value())
            continue;
        if (const Status status = bus_.map(*address, bar.size, *bar.device); status.ok())
            bar.mapped = address;
        else
            log::debug("{}: BAR {} not mapped: {}", bar.device->name(), bar.index, status.error().text);
    }
    return unmapped;
}

std::optional<Gpa> Bars::address(unsigned index) const {
    const auto bar = std::find_if(bars_.begin(), bars_.end(), [&](const Bar& b) { return b.index == index; });
    if (bar == bars_.end() || !bar->mapped.has_value())
        return std::nullopt;
    return Gpa{*bar->mapped};
}

} // namespace godwit::pci
