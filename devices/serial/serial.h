// SPDX-License-Identifier: Apache-2.0
//
// 16550A UART. Reference: NS PC16550D data sheet (1995), section 8.
// Not modelled: baud rate (bytes leave at once), parity and framing errors, sending a break, changing modem
// lines. The interrupt is not gated by MCR.OUT2, as on QEMU. The character time-out comes at once instead of
// after four character times. Migrates: SerialState, all of it.
//
// Output that the console does not take stays in the transmitter FIFO, and LSR.THRE stays clear: the guest
// waits as for a slow line, the virtual machine does not.
//
// Threads: bus methods on vCPU threads, console callbacks on the loop's thread, both under mutex_. Lock
// order: this mutex, then those of the console and of the interrupt line.
#pragma once

#include "devices/bus.h"
#include "devices/console/console.h"
#include "devices/irq.h"
#include "devices/serial/serial_state.h"
#include "migration/state/section.h"

#include <mutex>

namespace godwit {

class Serial final : public BusDevice, private Console::User {
  public:
    // Loop thread, or before run(). Both must outlive this.
    Serial(IrqLine& irq, Console& console);
    // Loop thread, or after run().
    ~Serial() override;

    std::string_view name() const override { return "serial"; }
    void read(std::uint64_t offset, std::span<std::byte> data) override;
    void write(std::uint64_t offset, std::span<const std::byte> data) override;

    // Any thread; the vCPUs do not run. After pause() nothing changes the state: input waits in the
    // operating system, output in the FIFO. Both are idempotent. A new Serial is paused; so is one that has
    // loaded a state: nothing leaves before this process owns the guest.
    void pause();
    void resume();
    // Any thread; the vCPUs do not run. Back to the state after power-up.
    void reset();
    // Any thread. Sends what waits in the transmitter and waits until the console has written everything out.
    // Changes the state, so before it is captured.
    Status flush(std::chrono::milliseconds limit);

    // Paused.
    SerialState capture() const;
    // Precondition: Schema<SerialState>::validate() accepted it.
    void apply(const SerialState& state);

  private:
    void input_ready() override;
    void output_ready() override;

    std::uint8_t read_register(std::uint64_t offset);
    void write_register(std::uint64_t offset, std::uint8_t value);
    std::uint8_t read_receiver_locked();
    std::uint8_t read_modem_status_locked();
    void write_holding_locked(std::uint8_t value);
    void write_interrupt_enable_locked(std::uint8_t value);
    void write_fifo_control_locked(std::uint8_t value);

    bool fifo_enabled() const { return (regs_.fcr & uart::fcr::kEnable) != 0; }
    bool loopback() const { return (regs_.mcr & uart::mcr::kLoop) != 0; }
    bool timeout_pending() const;
    std::size_t receive_room() const;
    void receive_locked(std::byte byte);
    void load_shift_register_locked();
    void transmit_locked();
    void ask_for_input_locked();
    std::uint8_t interrupt_source() const;
    void update_interrupt_locked();

    IrqLine& irq_;
    Console& console_;

    mutable std::mutex mutex_;
    // Everything that the guest can observe. The optional parts of regs_ are filled by capture() only.
    SerialState regs_;
    Fifo8 receive_fifo_, transmit_fifo_;
    std::uint8_t thr_ = 0;        // holding register, without FIFOs; full when LSR.THRE is clear
    std::uint8_t tsr_ = 0;        // shift register; full when LSR.TEMT is clear
    bool thre_interrupt_ = false; // latched until IIR is read or THR written

    bool line_high_ = false;
    bool paused_ = true;
    bool input_waits_ = false; // the console has more than the FIFO had room for
};

// The section `serial` of the state stream.
class SerialSection final : public StructSection<SerialSectionState> {
  public:
    explicit SerialSection(Serial& serial) : serial_(serial) {}

  protected:
    Result<SerialSectionState> capture() override { return SerialSectionState{serial_.capture()}; }
    Status apply(const SerialSectionState& section) override {
        serial_.apply(section.state);
        return {};
    }

  private:
    Serial& serial_;
};

} // namespace godwit
