// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/migration_port.h"

#include "devices/virtio/feature_names.h"
#include "vmm/base/log.h"
#include "vmm/machine/describe.h"

namespace godwit {

migration::MachineDescription MigrationPort::describe() {
    return describe_machine(machine_);
}

migration::HostState MigrationPort::host_state(const migration::MachineDescription& guest) {
    return describe_host(machine_, guest);
}

std::string MigrationPort::feature_name(std::uint16_t device_id, unsigned bit) {
    return virtio::feature_name(device_id, bit);
}

Status MigrationPort::start_dirty_log() {
    machine_.memory().dirty().start();
    TRY(machine_.dirty_log().start());
    // KVM may report every page at first; from here on it reports what is written.
    std::vector<std::uint64_t> ignored(machine_.dirty_log().word_count());
    return harvest_dirty(ignored);
}

Status MigrationPort::harvest_dirty(std::span<std::uint64_t> words) {
    // Before the pages are counted, so that the time it takes is not time in which more of them are written.
    if (machine_.running())
        machine_.write_back_disks();
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

migration::RunState MigrationPort::run_state() {
    return machine_.held(Machine::Hold::Operator) || machine_.held(Machine::Hold::NotStarted)
               ? migration::RunState::Paused
               : migration::RunState::Running;
}

Status MigrationPort::pause() {
    TRY(machine_.hold(Machine::Hold::Migration));
    // It would be lost: the other side would run a guest that has ended.
    if (machine_.stopped_by_guest())
        return error(ErrorCode::Cancelled, "the guest has powered off, reset or crashed meanwhile");
    return {};
}

Status MigrationPort::resume(migration::RunState) {
    return machine_.release(Machine::Hold::Migration);
}

Status MigrationPort::release_resources() {
    return machine_.unlock_disks();
}

Status MigrationPort::reclaim_resources() {
    return machine_.lock_disks();
}

void MigrationPort::handed_over() {
    if (const Status status = machine_.hold(Machine::Hold::HandedOver); !status.ok())
        log::error("{}", status.error().text);
}

Status MigrationPort::prepare_for(const migration::MachineDescription& guest) {
    return machine_.adopt_cpu(guest.cpu);
}

Status MigrationPort::discard_incoming() {
    const Status unlocked = machine_.unlock_disks();
    TRY(machine_.reset());
    return unlocked;
}

Status MigrationPort::apply_incoming() {
    for (StateSection* const section : machine_.sections())
        TRY_IN(section->commit_load(), section->id().name);
    return machine_.lock_disks();
}

Status MigrationPort::take_over(migration::RunState state) {
    if (state == migration::RunState::Paused)
        TRY(machine_.hold(Machine::Hold::Operator));
    TRY(machine_.release(Machine::Hold::NotStarted));
    machine_.loop().call([&] {
        for (const auto& unit : machine_.units())
            unit->core().arrived();
    });
    return {};
}

} // namespace godwit
