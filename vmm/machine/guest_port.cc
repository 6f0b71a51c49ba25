// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/guest_port.h"

#include "vmm/base/log.h"

namespace godwit {

migration::RunState GuestPort::run_state() {
    if (guest_.held(Guest::Hold::IoError))
        return migration::RunState::IoError;
    return guest_.held(Guest::Hold::Operator) || guest_.held(Guest::Hold::NotStarted)
               ? migration::RunState::Paused
               : migration::RunState::Running;
}

Status GuestPort::pause() {
    TRY(guest_.hold(Guest::Hold::Migration));
    // It would be lost: the other side would run a guest that has ended.
    if (const GuestStop stop = guest_.stopped_by_guest(); stop != GuestStop::None)
        return stop_error(stop);
    return {};
}

Status GuestPort::resume(migration::RunState) {
    return guest_.release(Guest::Hold::Migration);
}

Result<migration::WriteBackState> GuestPort::write_back(std::chrono::milliseconds patience) {
    if (!write_back_)
        write_back_.emplace(guest_.write_back_pass());
    return write_back_->advance(patience);
}

Status GuestPort::release_resources() {
    return guest_.unlock_disks();
}

Status GuestPort::reclaim_resources() {
    return guest_.lock_disks();
}

void GuestPort::handed_over() {
    if (const Status status = guest_.hold(Guest::Hold::HandedOver); !status.ok())
        log::error("{}", status.error().text);
}

Status GuestPort::prepare_for(const migration::MachineDescription& description) {
    guest_.adopt_devices(description.devices);
    return guest_.adopt_cpu(description.cpu);
}

Status GuestPort::discard_incoming() {
    guest_.set_boot_source_that_came(nullptr);
    const Status unlocked = guest_.unlock_disks();
    TRY(guest_.reset());
    return unlocked;
}

std::string GuestPort::notes() {
    return to_json(Standstill{guest_.stopped_at(), {}});
}

Status GuestPort::apply_incoming(migration::BesideSections beside) {
    const Standstill standstill = TRY_IN(parse_standstill(beside.notes), "what is said of the guest's pause");
    for (StateSection* const section : guest_.sections())
        TRY_IN(section->commit_load(), section->id().name);
    if (standstill.stopped_at)
        guest_.set_stopped_at(*standstill.stopped_at);
    TRY(guest_.lock_disks());
    guest_.set_boot_source_that_came(std::move(beside.boot));
    return {};
}

Status GuestPort::take_over(migration::RunState state) {
    if (state == migration::RunState::Paused)
        TRY(guest_.hold(Guest::Hold::Operator));
    if (state == migration::RunState::IoError)
        TRY(guest_.hold(Guest::Hold::IoError));
    TRY(guest_.release(Guest::Hold::NotStarted));
    guest_.arrived();
    return {};
}

} // namespace godwit
