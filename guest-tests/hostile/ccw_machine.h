// SPDX-License-Identifier: Apache-2.0
//
// The machine with a channel subsystem: the attacked device on subchannel 0, the other one on subchannel 1.
#pragma once

#include "guest-tests/hostile/machine.h"

namespace godwit::hostile {

inline constexpr std::uint32_t kVictimSchid = ccw::subchannel_id(0), kBystanderSchid = ccw::subchannel_id(1);
// Indicators of the two; summary, area, and configuration at these places.
inline constexpr std::uint64_t kIndicators = 0x8000, kIndicatorStride = 0x100;
inline constexpr std::uint64_t kSummaryAt = 0x00, kAreaAt = 0x10, kConfigAt = 0x20;
// Operation blocks, operands, programs and data of commands.
inline constexpr Range kChannelMemory{Gpa{0x1000}, 0x5000};

// Takes status that is in the way, runs one command and takes its status.
ccw::testing::Response run_command(ccw::testing::Guest& guest, std::uint32_t id, std::uint8_t code,
                                   std::span<const std::byte> data, std::uint8_t flags = 0);
// Whether it ended as a command does that was done.
bool was_done(const ccw::testing::Response& response);

class CcwMachine final : public Machine {
  public:
    CcwMachine(Kind victim, const StationOptions& options);
    ~CcwMachine() override;

    Loop& loop() override { return *board_.loop; }
    GuestMemory& memory() override { return *board_.memory; }
    std::vector<Range> transport_memory() const override {
        return {kChannelMemory, {Gpa{kIndicators}, 2 * kIndicatorStride}};
    }
    ccw::testing::Guest& ccw_guest() override { return guest_; }

  private:
    std::unique_ptr<ccw::VirtioCcw> plug(Station& station, std::uint16_t number);
    StateSection* transport_section() override { return &board_.css->section(); }
    void pause_transport() override { board_.css->pause(); }
    void resume_transport() override { board_.css->resume(); }

    ccw::testing::Board board_{kRamSize};
    ccw::testing::Guest guest_{board_};
    std::unique_ptr<ccw::VirtioCcw> victim_ccw_, bystander_ccw_;
};

} // namespace godwit::hostile
