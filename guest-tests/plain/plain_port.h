// SPDX-License-Identifier: Apache-2.0
//
// A plain machine as the migration sees it. Threads: one migration thread at a time.
#pragma once

#include "vmm/machine/guest_port.h"

namespace godwit::plain {

class PlainMachine;

class PlainPort final : public GuestPort {
  public:
    explicit PlainPort(PlainMachine& machine);

    migration::MachineDescription describe() override;
    migration::HostState host_state(const migration::MachineDescription& guest) override;
    std::string feature_name(std::uint16_t device_id, unsigned bit) override;

    Status start_dirty_log() override;
    Status harvest_dirty(std::span<std::uint64_t> words) override;
    Status stop_dirty_log() override;

    Status throttle(std::uint32_t percent) override;

  private:
    PlainMachine& machine_;
};

} // namespace godwit::plain
