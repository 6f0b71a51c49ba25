// SPDX-License-Identifier: Apache-2.0
//
// The channel subsystem: subchannels, the window through which a guest asks for their functions, pending
// interruptions and the mask over them. docs/ccw-transport.md; Principles of Operation, chapters 14 to 17.
// Migrates: CssState, as section "css", after the sections of its devices. Threads: loop; vCPUs come in
// through the MMIO bus.
#pragma once

#include "devices/bus.h"
#include "devices/irq.h"
#include "devices/loop_bus_device.h"
#include "migration/state/section.h"
#include "transports/ccw/css_state.h"
#include "transports/ccw/subchannel.h"
#include "vmm/base/log.h"

#include <memory>
#include <vector>

namespace godwit::ccw {

struct CssConfig {
    std::uint64_t window = 0;      // kWindowSize bytes
    std::uint32_t io_gsi = 0;      // I/O interruptions, edge
    std::uint32_t adapter_gsi = 0; // adapter interruptions, edge
};

class ChannelSubsystem final : private BusDevice, private SubchannelHost {
  public:
    // Maps the window. All references outlive the subsystem, which outlives its subchannels.
    static Result<std::unique_ptr<ChannelSubsystem>> create(Loop& loop, Bus& mmio, GuestMemory& memory,
                                                            InterruptController& interrupts,
                                                            const CssConfig& config);
    ~ChannelSubsystem() override;

    StateSection& section() { return section_; }
    // Programs stop between two commands; resume() goes on with them. Pause before the devices, resume after
    // them.
    void pause() { paused_ = true; }
    void resume();
    // As when the machine is reset, for all subchannels.
    void reset();

    // ---- for devices

    Loop& loop() { return loop_; }
    GuestMemory& memory() { return memory_; }
    SubchannelHost& host() { return *this; }
    // Gives it the next number. Before the guest runs.
    Status insert(Subchannel& subchannel);
    void remove(const Subchannel& subchannel);
    void adapter_interruption(std::uint8_t isc);
    // Where the guest rings: the register, and the area in which each queue has a place.
    Gpa notify_register() const { return Gpa{config_.window + kRegNotify}; }
    Gpa doorbell(std::uint16_t subchannel, std::uint16_t queue) const {
        return Gpa{config_.window + kDoorbellArea + doorbell_cookie(subchannel, queue)};
    }

  private:
    class Section final : public StructSection<CssState> {
      public:
        explicit Section(ChannelSubsystem& owner) : owner_(owner) {}

      private:
        Result<CssState> capture() override { return owner_.capture(); }
        Status check(const CssState& state) override {
            TRY_IN(owner_.check(state), Schema<CssState>::name);
            return {};
        }
        Status apply(const CssState& state) override {
            owner_.apply(state);
            return {};
        }
        ChannelSubsystem& owner_;
    };

    ChannelSubsystem(Loop& loop, Bus& mmio, GuestMemory& memory, const CssConfig& config);

    // ---- the window

    std::string_view name() const override { return "channel subsystem"; }
    void read(std::uint64_t offset, std::span<std::byte> data) override;
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void set_isc_mask(std::uint8_t mask);
    std::uint8_t pending_subclasses() const;
    // False when there is no such queue.
    bool ring(std::uint32_t id, std::uint64_t queue);

    // ---- operations: operations.cc

    struct Operation {
        std::uint32_t function;
        std::uint32_t id;
        Gpa operand;
        std::int64_t result = 0;
    };
    void operation(Gpa block);
    Outcome perform(Operation& operation);
    Outcome perform_on(Subchannel& subchannel, const Operation& operation);
    Outcome test_pending_interruption(Gpa code);
    Subchannel* find(std::uint32_t id) const;

    // ---- SubchannelHost

    void interruption(Subchannel& subchannel) override;
    void run_later(Subchannel& subchannel) override;
    bool paused() const override { return paused_; }
    void run_waiting();

    // ---- state: css_state.cc

    CssState capture() const;
    Status check(const CssState& state) const;
    void apply(const CssState& state);

    bool open(std::uint8_t isc) const { return (isc_mask_ & isc_bit(isc)) != 0; }

    Loop& loop_;
    Bus& mmio_;
    GuestMemory& memory_;
    const CssConfig config_;
    LoopBusDevice window_;
    bool mapped_ = false;
    std::unique_ptr<IrqLine> io_line_;
    std::unique_ptr<IrqLine> adapter_line_;
    std::vector<Subchannel*> subchannels_; // in the order of insertion
    std::uint8_t isc_mask_ = 0;
    std::uint8_t adapter_pending_ = 0;
    bool paused_ = false;
    std::vector<Subchannel*> waiting_;  // programs to go on with in the next turn
    std::shared_ptr<bool> turn_posted_; // outlives us in the loop's queue
    Section section_;
    log::RateLimit guest_errors_;
};

} // namespace godwit::ccw
