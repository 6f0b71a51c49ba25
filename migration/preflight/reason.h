// SPDX-License-Identifier: Apache-2.0
//
// Why a guest cannot move to another machine: one table of stable codes, the sentence that each makes, and
// what an operator can do. docs/preflight.md lists them; a test keeps the two together. Constants.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace godwit::migration {

enum class Reason : std::uint8_t {
    VersionProtocol,
    MachineBoard,
    MachineMemorySize,
    MachineMemoryLayout,
    MachineCpuCount,
    StateSectionMissing,
    StateSectionVersion,
    DeviceMissing,
    DeviceExtra,
    DeviceId,
    DeviceType,
    DeviceTransport,
    DevicePlace,
    DeviceFeatureMissing,
    DeviceFeatureExtra,
    DeviceQueueCount,
    DeviceQueueSize,
    BlkCapacity,
    BlkBlockSize,
    BlkReadOnly,
    BlkSerial,
    BlkDiscard,
    BlkUnmap,
    NetMac,
    NetMtu,
    CpuVendor,
    CpuFeatureMissing,
    CpuLeafDiffers,
    CpuLimit,
    CpuAddressWidth,
    CpuXsaveLayout,
    CpuMsrMissing,
    CpuMsrBit,
    CpuTscRate,
    HostMemoryShort,
    HostDiskLocked,
    HostDiskChanged,
    HostTapGone,
    HostTapIdle,
};

// What a difference means for the guest.
enum class Weight : std::uint8_t {
    Refuses,
    Warns,    // it may come, and somebody should look
    Accepted, // it would refuse, but the receiver was started with --accept
};

struct ReasonEntry {
    Reason reason;
    std::string_view code;   // for machines: never changes its meaning
    std::string_view text;   // each {} is a value, in order; "here" is the destination
    std::string_view remedy; // for docs/preflight.md
    Weight weight = Weight::Refuses;
};

inline constexpr std::array kReasons{
    ReasonEntry{Reason::VersionProtocol, "version.protocol",
                "the source speaks protocol version {}, version {} is spoken here",
                "Use releases of godwit that speak the same version of the migration protocol."},
    ReasonEntry{Reason::MachineBoard, "machine.board", "the source's board is '{}', '{}' here",
                "Use releases of godwit that build the same board."},
    ReasonEntry{Reason::MachineMemorySize, "machine.memory-size", "{} bytes at the source, {} here",
                "Start the receiver with the source's `--memory`."},
    ReasonEntry{Reason::MachineMemoryLayout, "machine.memory-layout",
                "RAM below 4 GiB ends at {} at the source, at {} here",
                "Use releases of godwit that place RAM at the same addresses."},
    ReasonEntry{Reason::MachineCpuCount, "machine.cpu-count", "{} vCPUs at the source, {} here",
                "Start the receiver with the source's `--cpus`."},
    ReasonEntry{Reason::StateSectionMissing, "state.section-missing",
                "the source's state has a section '{}' that is not known here",
                "Move to a release of godwit that is as new as the source's."},
    ReasonEntry{
        Reason::StateSectionVersion, "state.section-version",
        "the source writes version {} of section '{}', versions {} to {} can be read here",
        "Move to a release of godwit that is as new as the source's, or not newer than its successor."},
    ReasonEntry{Reason::DeviceMissing, "device.missing", "is not here",
                "Give the receiver the source's `--disk`, `--net` and `--rng` options, with this host's "
                "paths and taps."},
    ReasonEntry{Reason::DeviceExtra, "device.extra", "is here and not at the source",
                "Start the receiver without the device."},
    ReasonEntry{Reason::DeviceId, "device.id", "the device at {} has the id '{}' at the source",
                "Give the receiver's device the same `id=`."},
    ReasonEntry{Reason::DeviceType, "device.type", "is a {} at the source, a {} here",
                "Give the two devices the same kind, or different ids."},
    ReasonEntry{Reason::DeviceTransport, "device.transport", "is on {} at the source, on {} here",
                "Give the receiver's device the same transport."},
    ReasonEntry{Reason::DevicePlace, "device.place", "is at {} at the source, at {} here",
                "List the receiver's devices in the source's order, or give each the source's `addr=`."},
    ReasonEntry{
        Reason::DeviceFeatureMissing, "device.feature-missing", "feature {} not offered here",
        "The two hosts' kernels, disks or releases of godwit differ: start the guest with the option that "
        "the text names (`host_ufo=off`, say), or update."},
    ReasonEntry{Reason::DeviceFeatureExtra, "device.feature-extra",
                "feature {} offered here and not at the source",
                "The two hosts' kernels or options differ, and the guest must find the device that it has "
                "set up: give "
                "the receiver the option that the text names (`csum=off`, say)."},
    ReasonEntry{Reason::DeviceQueueCount, "device.queue-count", "{} queues at the source, {} here",
                "Give both sides the same number of queues."},
    ReasonEntry{Reason::DeviceQueueSize, "device.queue-size",
                "queue {} has up to {} entries at the source, up to {} here",
                "Give both sides queues of the same size."},
    ReasonEntry{Reason::BlkCapacity, "blk.capacity", "{} sectors at the source, {} here",
                "The receiver's disk is another one, or was not resized with the source's."},
    ReasonEntry{Reason::BlkBlockSize, "blk.block-size", "blocks of {} bytes at the source, of {} here",
                "Use a disk with the same logical block size."},
    ReasonEntry{Reason::BlkReadOnly, "blk.read-only", "is {} at the source, {} here",
                "Give both sides the same `readonly=`."},
    ReasonEntry{Reason::BlkSerial, "blk.serial", "has the serial '{}' at the source, '{}' here",
                "Give both sides the same `id=`, which is also the serial that the guest reads."},
    ReasonEntry{
        Reason::BlkDiscard, "blk.discard",
        "discards in steps of {} sectors, up to {} at once, at the source; of {}, up to {}, here",
        "Use disks of the same kind on both sides (files, or block devices with the same granularity and "
        "limits), or start the guest with `discard=off` and give it to the receiver too."},
    ReasonEntry{
        Reason::BlkUnmap, "blk.unmap", "writing zeroes {} at the source, {} here",
        "Use disks of the same kind on both sides, or start the guest with `write-zeroes=off` and give it "
        "to the receiver too."},
    ReasonEntry{Reason::NetMac, "net.mac", "has the address {} at the source, {} here",
                "Give the receiver the source's `mac=`, or none: then it takes the guest's."},
    ReasonEntry{Reason::NetMtu, "net.mtu", "has the MTU {} at the source, {} here",
                "Give both sides the same `mtu=`."},
    ReasonEntry{Reason::CpuVendor, "cpu.vendor", "the guest's processor is of '{}', this host's of '{}'",
                "Move between hosts with processors of one vendor."},
    ReasonEntry{Reason::CpuFeatureMissing, "cpu.feature-missing",
                "the guest was given {}, which this host cannot give",
                "Start the guest with a `--cpu` that both hosts can give: `baseline`, or the file that "
                "`godwit cpu intersect` makes."},
    ReasonEntry{
        Reason::CpuLeafDiffers, "cpu.leaf-differs",
        "the guest was given {}, whose meaning is not known here and which reads otherwise on this host",
        "Start the guest with a `--cpu` that leaves it out."},
    ReasonEntry{Reason::CpuLimit, "cpu.limit", "the guest was given {} = {}, this host can give up to {}",
                "Start the guest with a `--cpu` made with `godwit cpu intersect`."},
    ReasonEntry{Reason::CpuAddressWidth, "cpu.address-width",
                "the guest was given {} bits of {} addresses, this host has {}",
                "Start the guest with a `--cpu` made with `godwit cpu intersect`."},
    ReasonEntry{
        Reason::CpuXsaveLayout, "cpu.xsave-layout",
        "XSAVE component {} has {} bytes at {} for the guest, {} bytes at {} on this host",
        "Start the guest with a `--cpu` made with `godwit cpu intersect`, which leaves the component out."},
    ReasonEntry{Reason::CpuMsrMissing, "cpu.msr-missing",
                "the guest was given register {} with {}, this host's KVM lacks it",
                "Start the guest with a `--cpu` made with `godwit cpu intersect`."},
    ReasonEntry{Reason::CpuMsrBit, "cpu.msr-bit", "the guest was told {}, which does not hold on this host",
                "Start the guest with a `--cpu` made with `godwit cpu intersect`."},
    ReasonEntry{Reason::CpuTscRate, "cpu.tsc-rate",
                "the guest's TSC runs at {} kHz, this host's at {} kHz, and KVM cannot scale it here",
                "Move to a host whose TSC runs at the same rate, or whose processor can scale it."},
    ReasonEntry{Reason::HostMemoryShort, "host.memory-short",
                "the guest uses {} bytes of RAM, {} are available here",
                "Free memory on the receiver's host, or raise its memory limit."},
    ReasonEntry{Reason::HostDiskLocked, "host.disk-locked",
                "its file '{}' is in use by a process that is not the source",
                "End the process that has the disk; `lslocks` names it when it is on the receiver's host."},
    ReasonEntry{Reason::HostDiskChanged, "host.disk-changed",
                "its file '{}' had {} bytes when the receiver was started, {} now",
                "Start the receiver again."},
    ReasonEntry{Reason::HostTapGone, "host.tap-gone",
                "its tap '{}' was there when the receiver was started: {}",
                "Make the tap again, and start the receiver again."},
    ReasonEntry{Reason::HostTapIdle, "host.tap-idle", "its tap '{}' {}: no frame gets anywhere from there",
                "Set the tap up, and put it on a bridge or give it an address.", Weight::Warns},
};

constexpr const ReasonEntry& entry_of(Reason reason) {
    return kReasons[static_cast<std::size_t>(reason)];
}

constexpr bool reasons_are_in_order() {
    for (std::size_t i = 0; i < kReasons.size(); ++i)
        if (kReasons[i].reason != Reason{static_cast<std::uint8_t>(i)})
            return false;
    return kReasons.size() == static_cast<std::size_t>(Reason::HostTapIdle) + 1;
}
static_assert(reasons_are_in_order());

} // namespace godwit::migration
