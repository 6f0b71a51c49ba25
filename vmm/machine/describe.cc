// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/describe.h"

#include "migration/wire/format.h"
#include "vmm/machine/board.h"
#include "vmm/machine/host_memory.h"
#include "vmm/machine/machine.h"

#include <algorithm>

namespace godwit {

namespace {

migration::DeviceDescription describe_unit(VirtioUnit& unit) {
    const virtio::Core& core = unit.core();
    const SectionId section = core.id();
    migration::DeviceDescription device;
    device.id = core.traits().id;
    device.type = core.traits().record;
    device.device_id = core.traits().device_id;
    device.transport = unit.transport();
    device.place = section.name.substr(0, section.name.find('/'));
    device.state_version = section.version;
    device.state_minimum_version = section.minimum_version;
    device.features = core.offered_features();
    device.queue_sizes = core.traits().queue_sizes;
    unit.describe(device);
    return device;
}

// Devices are compared one by one, and each vCPU has the sections of the first.
bool belongs_to_machine(const SectionId& section) {
    return section.instance == 0 && section.name.find('/') == std::string::npos;
}

} // namespace

migration::MachineDescription describe_machine(Machine& machine) {
    migration::MachineDescription description;
    description.board = migration::wire::kMachineName;
    description.memory = machine.memory().size();
    description.low_memory = std::min(description.memory, board::kLowRamLimit);
    description.memory_in_use =
        resident_bytes({machine.memory().host(RamOffset{0}), static_cast<std::size_t>(description.memory)});
    description.cpus = machine.vcpus().size();
    description.cpu = machine.vcpus().at(0).cpu_model();
    description.tsc_khz = machine.vcpus().at(0).tsc_khz();
    for (const StateSection* const section : machine.sections())
        if (const SectionId id = section->id(); belongs_to_machine(id))
            description.sections.push_back({id.name, id.version, id.minimum_version});
    machine.loop().call([&] {
        for (const auto& unit : machine.units())
            description.devices.push_back(describe_unit(*unit));
    });
    return description;
}

migration::HostState describe_host(Machine& machine, const migration::MachineDescription& guest) {
    migration::HostState host;
    host.memory_available = available_memory();
    host.cpu = machine.cpu_offer();
    const kvm::Vcpu& vcpu = machine.vcpus().at(0);
    host.tsc_khz = vcpu.tsc_khz();
    host.gives_tsc_khz = vcpu.can_adopt_tsc_khz(guest.tsc_khz);
    machine.loop().call([&] {
        for (const auto& unit : machine.units()) {
            const auto counterpart =
                std::ranges::find(guest.devices, unit->core().traits().id, &migration::DeviceDescription::id);
            unit->describe_host(counterpart == guest.devices.end() ? nullptr : &*counterpart, host);
        }
    });
    return host;
}

} // namespace godwit
