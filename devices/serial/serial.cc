// SPDX-License-Identifier: Apache-2.0
#include "devices/serial/serial.h"

#include <algorithm>

namespace godwit {

using namespace uart;

Serial::Serial(IrqLine& irq, Console& console) : irq_(irq), console_(console) {
    console_.connect(this);
}

Serial::~Serial() {
    console_.connect(nullptr);
}

// ---- register access

void Serial::read(std::uint64_t offset, std::span<std::byte> data) {
    for (std::byte& byte : data)
        byte = std::byte{read_register(offset++)};
}

void Serial::write(std::uint64_t offset, std::span<const std::byte> data) {
    for (const std::byte byte : data)
        write_register(offset++, std::to_integer<std::uint8_t>(byte));
}

std::uint8_t Serial::read_register(std::uint64_t offset) {
    const std::lock_guard lock{mutex_};
    const bool latch = (regs_.lcr & lcr::kDlab) != 0;
    switch (offset) {
    case kRbrThr:
        return latch ? static_cast<std::uint8_t>(regs_.divider) : read_receiver_locked();
    case kIer:
        return latch ? static_cast<std::uint8_t>(regs_.divider >> 8) : regs_.ier;
    case kIirFcr: {
        const std::uint8_t value = regs_.iir;
        if ((value & iir::kIdMask) == iir::kTransmitterEmpty) {
            thre_interrupt_ = false;
            update_interrupt_locked();
        }
        return value;
    }
    case kLcr:
        return regs_.lcr;
    case kMcr:
        return regs_.mcr;
    case kLsr: {
        const std::uint8_t value = regs_.lsr;
        if ((value & lsr::kErrors) != 0) {
            regs_.lsr &= static_cast<std::uint8_t>(~lsr::kErrors);
            update_interrupt_locked();
        }
        return value;
    }
    case kMsr:
        return read_modem_status_locked();
    case kScr:
        return regs_.scr;
    default:
        return 0;
    }
}

void Serial::write_register(std::uint64_t offset, std::uint8_t value) {
    const std::lock_guard lock{mutex_};
    const bool latch = (regs_.lcr & lcr::kDlab) != 0;
    switch (offset) {
    case kRbrThr:
        if (latch)
            regs_.divider = static_cast<std::uint16_t>((regs_.divider & 0xff00) | value);
        else
            write_holding_locked(value);
        return;
    case kIer:
        if (latch)
            regs_.divider = static_cast<std::uint16_t>((regs_.divider & 0x00ff) | value << 8);
        else
            write_interrupt_enable_locked(value);
        return;
    case kIirFcr:
        return write_fifo_control_locked(value);
    case kLcr:
        regs_.lcr = value;
        return;
    case kMcr:
        regs_.mcr = value & mcr::kMask;
        ask_for_input_locked();
        return;
    case kScr:
        regs_.scr = value;
        return;
    default: // LSR and MSR: factory test only
        return;
    }
}

std::uint8_t Serial::read_receiver_locked() {
    std::uint8_t value = regs_.rbr;
    if (fifo_enabled())
        value = receive_fifo_.empty() ? 0 : std::to_integer<std::uint8_t>(receive_fifo_.pop());
    if (!fifo_enabled() || receive_fifo_.empty())
        regs_.lsr &= static_cast<std::uint8_t>(~(lsr::kDataReady | lsr::kBreak));
    update_interrupt_locked();
    ask_for_input_locked();
    return value;
}

// In loopback the modem inputs are the outputs (data sheet section 8.6.7).
std::uint8_t Serial::read_modem_status_locked() {
    if (loopback()) {
        std::uint8_t value = 0;
        value |= (regs_.mcr & mcr::kRts) != 0 ? msr::kCts : 0;
        value |= (regs_.mcr & mcr::kDtr) != 0 ? msr::kDsr : 0;
        value |= (regs_.mcr & mcr::kOut1) != 0 ? msr::kRi : 0;
        value |= (regs_.mcr & mcr::kOut2) != 0 ? msr::kDcd : 0;
        return value;
    }
    const std::uint8_t value = regs_.msr;
    if ((value & msr::kDeltas) != 0) {
        regs_.msr &= static_cast<std::uint8_t>(~msr::kDeltas);
        update_interrupt_locked();
    }
    return value;
}

void Serial::write_holding_locked(std::uint8_t value) {
    thr_ = value;
    if (fifo_enabled()) {
        // A guest that does not look at THRE loses its oldest byte.
        if (transmit_fifo_.full())
            transmit_fifo_.pop();
        transmit_fifo_.push(std::byte{value});
    }
    regs_.lsr &= static_cast<std::uint8_t>(~lsr::kThre);
    thre_interrupt_ = false;
    transmit_locked();
    update_interrupt_locked();
}

void Serial::write_interrupt_enable_locked(std::uint8_t value) {
    const std::uint8_t changed = (regs_.ier ^ value) & ier::kMask;
    regs_.ier = value & ier::kMask;
    // Enabling it while the register is empty interrupts at once, even if IIR was read before.
    if ((changed & ier::kEtbei) != 0)
        thre_interrupt_ = (regs_.ier & ier::kEtbei) != 0 && (regs_.lsr & lsr::kThre) != 0;
    update_interrupt_locked();
}

void Serial::write_fifo_control_locked(std::uint8_t value) {
    if (((value ^ regs_.fcr) & fcr::kEnable) != 0)
        value |= fcr::kReceiverReset | fcr::kTransmitterReset; // section 8.5
    if ((value & fcr::kReceiverReset) != 0) {
        receive_fifo_.clear();
        regs_.lsr &= static_cast<std::uint8_t>(~(lsr::kDataReady | lsr::kBreak));
    }
    if ((value & fcr::kTransmitterReset) != 0) {
        transmit_fifo_.clear(); // not the shift register: section 8.5
        regs_.lsr |= lsr::kThre;
        thre_interrupt_ = true;
    }
    regs_.fcr = value & fcr::kMask;
    update_interrupt_locked();
    ask_for_input_locked();
}

// ---- data

std::size_t Serial::receive_room() const {
    if (loopback())
        return 0; // the line is disconnected: input waits outside
    if (fifo_enabled())
        return kFifoSize - receive_fifo_.num;
    return (regs_.lsr & lsr::kDataReady) != 0 ? 0 : 1;
}

void Serial::receive_locked(std::byte byte) {
    const bool full = fifo_enabled() ? receive_fifo_.full() : (regs_.lsr & lsr::kDataReady) != 0;
    if (full)
        regs_.lsr |= lsr::kOverrun;
    if (!fifo_enabled())
        regs_.rbr = std::to_integer<std::uint8_t>(byte);
    else if (!full)
        receive_fifo_.push(byte);
    regs_.lsr |= lsr::kDataReady;
}

// Moves the next byte on, if there is one and the shift register is free.
void Serial::load_shift_register_locked() {
    if ((regs_.lsr & lsr::kTemt) == 0 || (regs_.lsr & lsr::kThre) != 0)
        return;
    if (fifo_enabled() && !transmit_fifo_.empty())
        tsr_ = std::to_integer<std::uint8_t>(transmit_fifo_.pop());
    else
        tsr_ = thr_;
    regs_.lsr &= static_cast<std::uint8_t>(~lsr::kTemt);
    if (!fifo_enabled() || transmit_fifo_.empty()) {
        regs_.lsr |= lsr::kThre;
        thre_interrupt_ = true;
    }
}

void Serial::transmit_locked() {
    for (;;) {
        load_shift_register_locked();
        if ((regs_.lsr & lsr::kTemt) != 0)
            return;
        const std::byte byte{tsr_};
        if (loopback())
            receive_locked(byte);
        else if (console_.write({&byte, 1}) == 0)
            return; // output_ready() goes on
        regs_.lsr |= lsr::kTemt;
    }
}

void Serial::input_ready() {
    const std::lock_guard lock{mutex_};
    input_waits_ = true;
    std::array<std::byte, kFifoSize> bytes;
    while (!paused_ && receive_room() != 0) {
        const std::size_t count = console_.read(std::span{bytes}.first(receive_room()));
        if (count == 0) {
            input_waits_ = false;
            break;
        }
        std::for_each_n(bytes.begin(), count, [this](std::byte byte) { receive_locked(byte); });
    }
    update_interrupt_locked();
}

void Serial::output_ready() {
    const std::lock_guard lock{mutex_};
    if (paused_)
        return;
    transmit_locked();
    update_interrupt_locked();
}

// Only when the FIFO is empty: a wake-up of the loop for 16 bytes, not for each.
void Serial::ask_for_input_locked() {
    if (!input_waits_ || paused_ || loopback() || (regs_.lsr & lsr::kDataReady) != 0)
        return;
    input_waits_ = false;
    console_.want_input();
}

// ---- interrupts

// Bytes below the trigger level: without a baud rate the line has been silent for four characters already
// (section 8.11).
bool Serial::timeout_pending() const {
    constexpr std::array<std::uint32_t, 4> kTriggers{1, 4, 8, 14};
    return fifo_enabled() && !receive_fifo_.empty() &&
           receive_fifo_.num < kTriggers[regs_.fcr >> fcr::kTriggerShift];
}

// Table IV, highest priority first.
std::uint8_t Serial::interrupt_source() const {
    if ((regs_.ier & ier::kElsi) != 0 && (regs_.lsr & lsr::kErrors) != 0)
        return iir::kLineStatus;
    if ((regs_.ier & ier::kErbfi) != 0 && (regs_.lsr & lsr::kDataReady) != 0)
        return timeout_pending() ? iir::kTimeout : iir::kReceivedData;
    if ((regs_.ier & ier::kEtbei) != 0 && thre_interrupt_)
        return iir::kTransmitterEmpty;
    if ((regs_.ier & ier::kEdssi) != 0 && (regs_.msr & msr::kDeltas) != 0)
        return iir::kModemStatus;
    return iir::kNone;
}

void Serial::update_interrupt_locked() {
    const std::uint8_t source = interrupt_source();
    regs_.iir = static_cast<std::uint8_t>(source | (fifo_enabled() ? iir::kFifosEnabled : 0));
    if (const bool high = source != iir::kNone; high != line_high_) {
        line_high_ = high;
        irq_.set_level(high);
    }
}

// ---- life

void Serial::pause() {
    const std::lock_guard lock{mutex_};
    paused_ = true;
}

void Serial::resume() {
    const std::lock_guard lock{mutex_};
    if (!std::exchange(paused_, false))
        return;
    transmit_locked();
    update_interrupt_locked();
    // After a load the interrupt controller may not know the line's level. One edge too many does no harm,
    // one too few would.
    irq_.set_level(line_high_);
    input_waits_ = false;
    console_.want_input();
}

void Serial::reset() {
    const std::lock_guard lock{mutex_};
    regs_ = SerialState{};
    receive_fifo_.clear();
    transmit_fifo_.clear();
    thr_ = tsr_ = 0;
    thre_interrupt_ = false;
    update_interrupt_locked();
    ask_for_input_locked();
}

Status Serial::flush(std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
        bool sent = false;
        {
            const std::lock_guard lock{mutex_};
            transmit_locked();
            update_interrupt_locked();
            sent = (regs_.lsr & lsr::kTemt) != 0;
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        TRY_IN(console_.flush(std::max(left, std::chrono::milliseconds{0})), "serial");
        if (sent)
            return {};
        if (left.count() <= 0)
            return error(ErrorCode::System, "serial: the console takes no output");
    }
}

} // namespace godwit
