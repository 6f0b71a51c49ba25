// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/migration_port.h"

#include "devices/virtio/feature_names.h"
#include "devices/virtio/feature_properties.h"
#include "vmm/machine/describe.h"
#include "vmm/machine/machine.h"

namespace godwit {

MigrationPort::MigrationPort(Machine& machine) : GuestPort(machine), machine_(machine) {}

migration::MachineDescription MigrationPort::describe() {
    return describe_machine(machine_);
}

migration::HostState MigrationPort::host_state(const migration::MachineDescription& guest) {
    return describe_host(machine_, guest);
}

std::string MigrationPort::feature_name(std::uint16_t device_id, unsigned bit) {
    const std::string option = virtio::feature_option(device_id, bit);
    const std::string name = virtio::feature_name(device_id, bit);
    return option.empty() ? name : fmt::format("{} ({} leaves it out)", name, option);
}

Status MigrationPort::start_dirty_log() {
    machine_.memory().dirty().start();
    TRY(machine_.dirty_log().start());
    // KVM may report every page at first; from here on it reports what is written.
    std::vector<std::uint64_t> ignored(machine_.dirty_log().word_count());
    return harvest_dirty(ignored);
}

Status MigrationPort::harvest_dirty(std::span<std::uint64_t> words) {
    std::vector<std::uint64_t> written(machine_.dirty_log().word_count());
    TRY(machine_.dirty_log().harvest_into(written));
    TRY(machine_.dirty_log().clear(0, written));
    machine_.memory().dirty().harvest_into(written);
    for (std::size_t i = 0; i < words.size() && i < written.size(); ++i)
        words[i] |= written[i];
    return {};
}

Status MigrationPort::stop_dirty_log() {
    machine_.memory().dirty().stop();
    return machine_.dirty_log().stop();
}

Status MigrationPort::throttle(std::uint32_t percent) {
    return machine_.vcpus().throttle(percent);
}

} // namespace godwit
