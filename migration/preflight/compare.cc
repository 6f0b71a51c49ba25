// SPDX-License-Identifier: Apache-2.0
#include "migration/preflight/compare.h"

#include <algorithm>

namespace godwit::migration {

namespace {

std::string hex(std::uint64_t value) {
    return fmt::format("{:#x}", value);
}

void compare_sections(const MachineDescription& source, const MachineDescription& destination,
                      Differences& found) {
    for (const SectionDescription& theirs : source.sections) {
        const auto ours = std::ranges::find(destination.sections, theirs.name, &SectionDescription::name);
        if (ours == destination.sections.end())
            found.push_back(difference(Reason::StateSectionMissing, "state", {theirs.name}));
        else if (theirs.version > ours->version || theirs.version < ours->minimum_version)
            found.push_back(difference(Reason::StateSectionVersion, "state",
                                       {value_text(theirs.version), theirs.name,
                                        value_text(ours->minimum_version), value_text(ours->version)}));
    }
}

std::string subject_of(const MachineDescription& machine, std::string_view id) {
    const auto device = std::ranges::find(machine.devices, id, &DeviceDescription::id);
    return device == machine.devices.end() ? std::string{id} : device->subject();
}

} // namespace

Differences compare_machines(const MachineDescription& source, const MachineDescription& destination,
                             const FeatureName& feature_name) {
    Differences found;
    if (source.board != destination.board)
        found.push_back(difference(Reason::MachineBoard, "machine", {source.board, destination.board}));
    if (source.memory != destination.memory)
        found.push_back(difference(Reason::MachineMemorySize, "memory",
                                   {value_text(source.memory), value_text(destination.memory)}));
    else if (source.low_memory != destination.low_memory)
        found.push_back(difference(Reason::MachineMemoryLayout, "memory",
                                   {hex(source.low_memory), hex(destination.low_memory)}));
    if (source.cpus != destination.cpus)
        found.push_back(difference(Reason::MachineCpuCount, "cpus",
                                   {value_text(source.cpus), value_text(destination.cpus)}));
    compare_sections(source, destination, found);
    compare_devices(source, destination, feature_name, found);
    return found;
}

Differences compare_host(const MachineDescription& source, const MachineDescription& destination,
                         const HostState& host) {
    Differences found;
    compare_cpu(source.cpu, host.cpu, found);
    if (!host.gives_tsc_khz)
        found.push_back(
            difference(Reason::CpuTscRate, "cpu", {value_text(source.tsc_khz), value_text(host.tsc_khz)}));
    if (source.memory_in_use > host.memory_available)
        found.push_back(difference(Reason::HostMemoryShort, "memory",
                                   {value_text(source.memory_in_use), value_text(host.memory_available)}));
    for (const DiskState& disk : host.disks) {
        if (disk.bytes_now != disk.bytes_at_start)
            found.push_back(
                difference(Reason::HostDiskChanged, subject_of(destination, disk.id),
                           {disk.path, value_text(disk.bytes_at_start), value_text(disk.bytes_now)}));
        if (disk.locked_by_stranger)
            found.push_back(
                difference(Reason::HostDiskLocked, subject_of(destination, disk.id), {disk.path}));
    }
    for (const TapState& tap : host.taps) {
        const std::string subject = subject_of(destination, tap.id);
        if (!tap.fault.empty())
            found.push_back(difference(Reason::HostTapGone, subject, {tap.interface, tap.fault}));
        else if (!tap.lack.empty())
            found.push_back(difference(Reason::HostTapIdle, subject, {tap.interface, tap.lack}));
    }
    return found;
}

} // namespace godwit::migration
