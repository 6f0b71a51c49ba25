// SPDX-License-Identifier: Apache-2.0
#include "devices/bus.h"

#include <algorithm>
#include <mutex>

namespace godwit {

Status Bus::map(std::uint64_t base, std::uint64_t length, BusDevice& device) {
    if (length == 0 || base + (length - 1) < base)
        return error(ErrorCode::Internal, "{} bus: range {:#x}+{:#x} of {} is empty or wraps", name_, base,
                     length, device.name());
    const std::unique_lock lock{mutex_};
    auto next = ranges_.upper_bound(base);
    const auto refuse = [&](std::uint64_t other_base, const Range& other) {
        return error(ErrorCode::Internal, "{} bus: {:#x}+{:#x} of {} overlaps {:#x}+{:#x} of {}", name_, base,
                     length, device.name(), other_base, other.length, other.device->name());
    };
    if (next != ranges_.end() && next->first - base < length)
        return refuse(next->first, next->second);
    if (next != ranges_.begin()) {
        const auto& [other_base, other] = *std::prev(next);
        if (base - other_base < other.length)
            return refuse(other_base, other);
    }
    ranges_.emplace(base, Range{length, &device});
    return {};
}

void Bus::unmap(std::uint64_t base) {
    const std::unique_lock lock{mutex_};
    ranges_.erase(base);
}

const Bus::Range* Bus::find(std::uint64_t address, std::size_t size, std::uint64_t* offset) const {
    auto next = ranges_.upper_bound(address);
    if (next == ranges_.begin())
        return nullptr;
    const auto& [base, range] = *std::prev(next);
    *offset = address - base;
    if (*offset >= range.length || size > range.length - *offset)
        return nullptr;
    return &range;
}

// The device is called without the lock: its handler may remap BARs. Devices live as long as the machine, so
// a range that is unmapped meanwhile only means that the access came first.
bool Bus::read(std::uint64_t address, std::span<std::byte> data) const {
    std::uint64_t offset = 0;
    BusDevice* device = nullptr;
    {
        const std::shared_lock lock{mutex_};
        if (const Range* const range = find(address, data.size(), &offset))
            device = range->device;
    }
    if (device == nullptr) {
        std::fill(data.begin(), data.end(), std::byte{0xff});
        return false;
    }
    device->read(offset, data);
    return true;
}

bool Bus::write(std::uint64_t address, std::span<const std::byte> data) const {
    std::uint64_t offset = 0;
    BusDevice* device = nullptr;
    {
        const std::shared_lock lock{mutex_};
        if (const Range* const range = find(address, data.size(), &offset))
            device = range->device;
    }
    if (device == nullptr)
        return false;
    device->write(offset, data);
    return true;
}

} // namespace godwit
