// SPDX-License-Identifier: Apache-2.0
//
// What is the same for every guest when a migration asks (migration/machine_port.h): holds, disk locks,
// sections. Descriptions, the dirty log and the throttle are the machine's. Threads: one migration thread at
// a time.
#pragma once

#include "migration/machine_port.h"
#include "vmm/machine/guest.h"

#include <optional>

namespace godwit {

class GuestPort : public migration::MachinePort {
  public:
    explicit GuestPort(Guest& guest) : guest_(guest) {}

    GuestMemory& memory() final { return guest_.memory(); }
    std::vector<StateSection*> sections() final { return guest_.sections(); }
    std::string notes() final;
    migration::BootSourcePtr boot_source() final { return guest_.boot_source(); }

    migration::RunState run_state() final;
    Status pause() final;
    Status resume(migration::RunState state) final;
    Result<migration::WriteBackState> write_back(std::chrono::milliseconds patience) final;
    Status release_resources() final;
    Status reclaim_resources() final;
    void handed_over() final;

    Status prepare_for(const migration::MachineDescription& description) final;
    Status discard_incoming() final;
    Status apply_incoming(migration::BesideSections beside) final;
    Status take_over(migration::RunState state) final;

  private:
    Guest& guest_;
    std::optional<WriteBack> write_back_; // from its first use on
};

} // namespace godwit
