// SPDX-License-Identifier: Apache-2.0
//
// The machine with a PCI bus: the attacked device in slot 1, the other one in slot 2.
#pragma once

#include "guest-tests/hostile/machine.h"

namespace godwit::hostile {

inline constexpr std::uint8_t kVictimSlot = 1, kBystanderSlot = 2;

class PciMachine final : public Machine {
  public:
    PciMachine(Kind victim, const StationOptions& options);
    ~PciMachine() override;

    Loop& loop() override { return *board_.loop; }
    GuestMemory& memory() override { return *board_.memory; }
    std::vector<Range> transport_memory() const override { return {}; }
    pci::testing::Board& pci_board() override { return board_; }

  private:
    std::unique_ptr<pci::VirtioPci> plug(Station& station, std::uint8_t slot);

    pci::testing::Board board_{kRamSize};
    std::unique_ptr<pci::VirtioPci> victim_pci_, bystander_pci_;
};

} // namespace godwit::hostile
