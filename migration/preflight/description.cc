// SPDX-License-Identifier: Apache-2.0
#include "migration/preflight/description.h"

#include "migration/preflight/wire_text.h"

#include <algorithm>

namespace godwit::migration {

namespace {

void put(ByteWriter& out, const cpu::CpuModel& model) {
    out.le(static_cast<std::uint32_t>(model.cpuid.size()));
    for (const cpu::CpuidEntry& entry : model.cpuid)
        for (const std::uint32_t value : {entry.function, entry.index, entry.index_matters ? 1u : 0u,
                                          entry.eax, entry.ebx, entry.ecx, entry.edx})
            out.le(value);
    out.le(static_cast<std::uint32_t>(model.msrs.size()));
    for (const cpu::MsrValue& msr : model.msrs) {
        out.le(msr.index);
        out.le(msr.value);
    }
}

void put(ByteWriter& out, const DeviceDescription& device) {
    for (const std::string* const text : {&device.id, &device.type, &device.transport, &device.place})
        put_text(out, *text);
    out.le(device.device_id);
    out.le(device.state_version);
    out.le(device.state_minimum_version);
    out.le(device.features);
    out.le(static_cast<std::uint32_t>(device.queue_sizes.size()));
    for (const std::uint16_t size : device.queue_sizes)
        out.le(size);
    out.le(static_cast<std::uint8_t>(device.blk.has_value()));
    if (device.blk) {
        out.le(device.blk->sectors);
        out.le(device.blk->block_size);
        out.le(static_cast<std::uint8_t>(device.blk->read_only));
        put_text(out, device.blk->serial);
        out.le(device.blk->lock_mark);
        out.le(device.blk->discard.alignment);
        out.le(device.blk->discard.max_sectors);
        out.le(static_cast<std::uint8_t>(device.blk->discard.zeroing_unmaps));
    }
    out.le(static_cast<std::uint8_t>(device.net.has_value()));
    if (device.net) {
        out.append(std::as_bytes(std::span{device.net->mac}));
        out.le(static_cast<std::uint8_t>(device.net->mtu.has_value()));
        out.le(device.net->mtu.value_or(0));
    }
}

Result<std::uint32_t> get_count(ByteReader& in, std::uint32_t limit, std::string_view what) {
    const auto count = TRY(in.le<std::uint32_t>());
    if (count > limit)
        return error(ErrorCode::Protocol, "{} {}, at most {} can be", count, what, limit);
    return count;
}

Result<bool> get_bool(ByteReader& in) {
    const auto value = TRY(in.le<std::uint8_t>());
    if (value > 1)
        return error(ErrorCode::Protocol, "{} is neither true nor false", value);
    return value == 1;
}

Result<cpu::CpuModel> get_cpu(ByteReader& in) {
    cpu::CpuModel model;
    const auto entries = TRY(get_count(in, cpu::kMaxCpuidEntries, "CPUID entries"));
    for (std::uint32_t i = 0; i < entries; ++i) {
        cpu::CpuidEntry entry;
        entry.function = TRY(in.le<std::uint32_t>());
        entry.index = TRY(in.le<std::uint32_t>());
        entry.index_matters = TRY(in.le<std::uint32_t>()) != 0;
        entry.eax = TRY(in.le<std::uint32_t>());
        entry.ebx = TRY(in.le<std::uint32_t>());
        entry.ecx = TRY(in.le<std::uint32_t>());
        entry.edx = TRY(in.le<std::uint32_t>());
        model.cpuid.push_back(entry);
    }
    const auto msrs = TRY(get_count(in, cpu::kMaxFeatureMsrs, "feature registers"));
    for (std::uint32_t i = 0; i < msrs; ++i) {
        cpu::MsrValue msr;
        msr.index = TRY(in.le<std::uint32_t>());
        msr.value = TRY(in.le<std::uint64_t>());
        model.msrs.push_back(msr);
    }
    if (const auto fault = cpu::fault_of(model))
        return error(ErrorCode::Protocol, "the guest's processor: {}", *fault);
    return model;
}

Result<BlkDescription> get_blk(ByteReader& in) {
    BlkDescription blk;
    blk.sectors = TRY(in.le<std::uint64_t>());
    blk.block_size = TRY(in.le<std::uint32_t>());
    blk.read_only = TRY(get_bool(in));
    blk.serial = TRY(get_text(in, kMaxNameLength, "serial"));
    blk.lock_mark = TRY(in.le<std::uint64_t>());
    blk.discard.alignment = TRY(in.le<std::uint32_t>());
    blk.discard.max_sectors = TRY(in.le<std::uint32_t>());
    blk.discard.zeroing_unmaps = TRY(get_bool(in));
    return blk;
}

Result<NetDescription> get_net(ByteReader& in) {
    NetDescription net;
    std::ranges::copy(TRY(in.take(net.mac.size())), std::as_writable_bytes(std::span{net.mac}).begin());
    const bool has_mtu = TRY(get_bool(in));
    const auto mtu = TRY(in.le<std::uint16_t>());
    if (has_mtu)
        net.mtu = mtu;
    return net;
}

Result<DeviceDescription> get_device(ByteReader& in) {
    DeviceDescription device;
    for (std::string* const text : {&device.id, &device.type, &device.transport, &device.place})
        *text = TRY(get_text(in, kMaxNameLength, "name of a device"));
    device.device_id = TRY(in.le<std::uint16_t>());
    device.state_version = TRY(in.le<std::uint32_t>());
    device.state_minimum_version = TRY(in.le<std::uint32_t>());
    device.features = TRY(in.le<std::uint64_t>());
    const auto queues = TRY(get_count(in, kMaxQueues, "queues"));
    for (std::uint32_t i = 0; i < queues; ++i)
        device.queue_sizes.push_back(TRY(in.le<std::uint16_t>()));
    if (TRY(get_bool(in)))
        device.blk = TRY(get_blk(in));
    if (TRY(get_bool(in)))
        device.net = TRY(get_net(in));
    return device;
}

} // namespace

std::string DeviceDescription::subject() const {
    return fmt::format("{} '{}'", type, id);
}

std::vector<std::byte> encode(const MachineDescription& machine) {
    ByteWriter out;
    put_text(out, machine.board);
    out.le(machine.memory);
    out.le(machine.low_memory);
    out.le(machine.memory_in_use);
    out.le(machine.cpus);
    out.le(machine.tsc_khz);
    put(out, machine.cpu);
    out.le(static_cast<std::uint32_t>(machine.sections.size()));
    for (const SectionDescription& section : machine.sections) {
        put_text(out, section.name);
        out.le(section.version);
        out.le(section.minimum_version);
    }
    out.le(static_cast<std::uint32_t>(machine.devices.size()));
    for (const DeviceDescription& device : machine.devices)
        put(out, device);
    return out.take();
}

Result<MachineDescription> decode_description(std::span<const std::byte> body) {
    ByteReader in{body};
    MachineDescription machine;
    machine.board = TRY(get_text(in, kMaxNameLength, "name of a board"));
    machine.memory = TRY(in.le<std::uint64_t>());
    machine.low_memory = TRY(in.le<std::uint64_t>());
    machine.memory_in_use = TRY(in.le<std::uint64_t>());
    machine.cpus = TRY(in.le<std::uint32_t>());
    machine.tsc_khz = TRY(in.le<std::uint32_t>());
    machine.cpu = TRY(get_cpu(in));
    const auto sections = TRY(get_count(in, kMaxSections, "sections"));
    for (std::uint32_t i = 0; i < sections; ++i) {
        SectionDescription section;
        section.name = TRY(get_text(in, kMaxNameLength, "name of a section"));
        section.version = TRY(in.le<std::uint32_t>());
        section.minimum_version = TRY(in.le<std::uint32_t>());
        machine.sections.push_back(std::move(section));
    }
    const auto devices = TRY(get_count(in, kMaxDevices, "devices"));
    for (std::uint32_t i = 0; i < devices; ++i)
        machine.devices.push_back(TRY(get_device(in)));
    TRY(at_end(in));
    return machine;
}

} // namespace godwit::migration
