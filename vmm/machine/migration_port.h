// SPDX-License-Identifier: Apache-2.0
//
// The machine as the migration sees it (migration/machine_port.h). Threads: one migration thread at a time.
#pragma once

#include "vmm/machine/guest_port.h"

namespace godwit {

class Machine;

class MigrationPort final : public GuestPort {
  public:
    explicit MigrationPort(Machine& machine);

    migration::MachineDescription describe() override;
    migration::HostState host_state(const migration::MachineDescription& guest) override;
    std::string feature_name(std::uint16_t device_id, unsigned bit) override;

    Status start_dirty_log() override;
    Status harvest_dirty(std::span<std::uint64_t> words) override;
    Status stop_dirty_log() override;

    Status throttle(std::uint32_t percent) override;

  private:
    Machine& machine_;
};

} // namespace godwit
