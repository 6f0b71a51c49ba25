// SPDX-License-Identifier: Apache-2.0
//
// The machine as the migration sees it (migration/machine_port.h). Threads: one migration thread at a time.
#pragma once

#include "migration/machine_port.h"
#include "vmm/machine/machine.h"

namespace godwit {

class MigrationPort final : public migration::MachinePort {
  public:
    explicit MigrationPort(Machine& machine) : machine_(machine) {}

    migration::MachineDescription describe() override;
    migration::HostState host_state(const migration::MachineDescription& guest) override;
    std::string feature_name(std::uint16_t device_id, unsigned bit) override;
    GuestMemory& memory() override { return machine_.memory(); }

    Status start_dirty_log() override;
    Status harvest_dirty(std::span<std::uint64_t> words) override;
    Status stop_dirty_log() override;

    Status throttle(std::uint32_t percent) override { return machine_.vcpus().throttle(percent); }

    migration::RunState run_state() override;
    Status pause() override;
    Status resume(migration::RunState state) override;
    Status release_resources() override;
    Status reclaim_resources() override;
    void handed_over() override;

    std::vector<StateSection*> sections() override { return machine_.sections(); }

    Status prepare_for(const migration::MachineDescription& guest) override;
    Status discard_incoming() override;
    Status apply_incoming() override;
    Status take_over(migration::RunState state) override;

  private:
    Machine& machine_;
};

} // namespace godwit
