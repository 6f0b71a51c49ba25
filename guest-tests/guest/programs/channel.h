// SPDX-License-Identifier: Apache-2.0
#pragma once
// The channel program: takes a subchannel that no driver uses through everything that a channel program can
// be halfway through, holds it there, and then looks whether all is as it must be.  Reference:
// docs/ccw-transport.md.
//   channel.phase=all|suspended|quiet|running|pending|halted|checked   channel.hold=MICROSECONDS
#include "drivers/css.h"
#include "programs/program.h"

namespace guest {

class Channel final : public Program {
  public:
    constexpr Channel() = default;
    std::string_view name() const override { return "channel"; }
    bool start() override;
    u64 step(u64 now) override;
    void print_status() const override;
    void begin_finish() override { finishing_ = true; }
    bool finished() const override { return over_; }

  private:
    enum Phase : u32 {
        Suspended, // with intermediate status
        Quiet,     // suspended, the status suppressed
        Running,   // a transfer in channel that goes back for ever
        Pending,   // ended, nobody has taken the status
        Halted,    // the same, of a halt
        Checked,   // the same, with a unit check and sense bytes
        Phases,
    };
    static std::string_view text(u32 phase);

    bool expect(bool condition, std::string_view what, u64 detail = 0);
    u32 operate(css::Function function, const void* operand = nullptr);
    u32 test();
    bool start_program(u16 orb_flags);
    bool wait_for_primary();
    bool ended_well(u32 commands);

    bool begin();
    bool check();
    bool check_suspended();
    bool check_running();
    bool check_pending();
    bool check_halted();
    bool check_checked();

    css::Subchannel subchannel_;
    css::Irb irb_{};
    u32 phase_ = 0;
    bool only_ = false, held_ = false, finishing_ = false, over_ = false;
    u64 hold_ = 0, due_ = 0;
    u64 rounds_ = 0, errors_ = 0;
};

} // namespace guest
