// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/plain/plain_port.h"

#include "guest-tests/plain/plain_machine.h"
#include "vmm/machine/board.h"
#include "vmm/machine/host_memory.h"

#include <algorithm>

namespace godwit::plain {

namespace {

constexpr std::string_view kBoard = "plain";
constexpr std::uint16_t kBlockDevice = 2; // virtio 1.2 section 5, so that preflight treats it as a disk
constexpr std::uint32_t kBlockSize = 512;
constexpr std::uint32_t kClockKhz = 1'000'000; // the guest's clock counts nanoseconds, on every host

migration::DeviceDescription describe_disk(const PlainDisk& disk) {
    migration::DeviceDescription device;
    device.id = disk.id;
    device.type = Schema<DiskState>::name;
    device.device_id = kBlockDevice;
    device.transport = kBoard;
    device.place = disk.id;
    device.state_version = Schema<DiskState>::version;
    device.state_minimum_version = Schema<DiskState>::minimum_version;
    device.blk = {disk.image.sectors(), kBlockSize, disk.image.readonly(), disk.id, disk.image.lock_mark()};
    return device;
}

} // namespace

PlainPort::PlainPort(PlainMachine& machine) : GuestPort(machine), machine_(machine) {}

migration::MachineDescription PlainPort::describe() {
    GuestMemory& memory = machine_.memory();
    migration::MachineDescription description;
    description.board = kBoard;
    description.memory = memory.size();
    description.low_memory = std::min(description.memory, board::kLowRamLimit);
    description.memory_in_use =
        resident_bytes({memory.host(RamOffset{0}), static_cast<std::size_t>(description.memory)});
    description.cpus = machine_.config().cpus;
    description.cpu = machine_.cpu();
    description.tsc_khz = kClockKhz;
    for (const StateSection* const section : machine_.sections())
        if (const SectionId id = section->id(); id.instance == 0 && id.name.find('/') == std::string::npos)
            description.sections.push_back({id.name, id.version, id.minimum_version});
    for (const PlainDisk& disk : machine_.disks())
        description.devices.push_back(describe_disk(disk));
    return description;
}

migration::HostState PlainPort::host_state(const migration::MachineDescription& guest) {
    migration::HostState host;
    host.memory_available = available_memory();
    host.cpu = machine_.cpu_offer();
    host.tsc_khz = kClockKhz;
    for (const PlainDisk& disk : machine_.disks()) {
        const auto there = std::ranges::find(guest.devices, disk.id, &migration::DeviceDescription::id);
        const std::uint64_t mark = there != guest.devices.end() && there->blk ? there->blk->lock_mark : 0;
        host.disks.push_back({disk.id, disk.image.path(), disk.image.bytes_at_start(),
                              disk.image.current_bytes(), disk.image.locked_by_stranger(mark)});
    }
    return host;
}

std::string PlainPort::feature_name(std::uint16_t, unsigned bit) {
    return fmt::format("bit {}", bit);
}

Status PlainPort::start_dirty_log() {
    machine_.memory().dirty().start();
    return {};
}

Status PlainPort::harvest_dirty(std::span<std::uint64_t> words) {
    machine_.memory().dirty().harvest_into(words);
    return {};
}

Status PlainPort::stop_dirty_log() {
    machine_.memory().dirty().stop();
    return {};
}

Status PlainPort::throttle(std::uint32_t percent) {
    return machine_.cpus().throttle(percent);
}

} // namespace godwit::plain
