// SPDX-License-Identifier: Apache-2.0
//
// What migrates of the 16550A: QEMU's section `serial` version 3, whose only field is a record that is called
// `serial` as well (QEMU hw/char/serial-isa.c, serial.c). Subsections appear only when they say something.
#pragma once

#include "devices/serial/registers.h"
#include "migration/state/schema.h"

namespace godwit {

// QEMU's Fifo8: `num` bytes from `head` on, wrapping.
struct Fifo8 {
    std::array<std::byte, uart::kFifoSize> data{};
    std::uint32_t head = 0;
    std::uint32_t num = 0;
    bool operator==(const Fifo8&) const = default;

    bool empty() const { return num == 0; }
    bool full() const { return num == data.size(); }
    // Precondition: !full().
    void push(std::byte byte) { data[(head + num++) % data.size()] = byte; }
    // Precondition: !empty().
    std::byte pop() {
        const std::byte byte = data[head];
        head = (head + 1) % static_cast<std::uint32_t>(data.size());
        --num;
        return byte;
    }
    void clear() { head = num = 0; }
};

struct SerialThrPending {
    std::int32_t thr_ipending = 0;
    bool operator==(const SerialThrPending&) const = default;
};
// A byte that the console did not take yet, and the holding register behind it.
struct SerialTsr {
    std::uint32_t tsr_retry = 0;
    std::uint8_t thr = 0;
    std::uint8_t tsr = 0;
    bool operator==(const SerialTsr&) const = default;
};
struct SerialReceiveFifo {
    Fifo8 recv_fifo;
    bool operator==(const SerialReceiveFifo&) const = default;
};
struct SerialTransmitFifo {
    Fifo8 xmit_fifo;
    bool operator==(const SerialTransmitFifo&) const = default;
};
struct SerialTimeoutTimer {
    std::uint64_t fifo_timeout_timer = 0;
    bool operator==(const SerialTimeoutTimer&) const = default;
};
struct SerialTimeoutPending {
    std::int32_t timeout_ipending = 0;
    bool operator==(const SerialTimeoutPending&) const = default;
};
struct SerialPoll {
    std::int32_t poll_msl = 0;
    std::uint64_t modem_status_poll = 0;
    bool operator==(const SerialPoll&) const = default;
};

// The defaults are the state after reset.
struct SerialState {
    std::uint16_t divider = 12; // of 115200 baud: 9600
    std::uint8_t rbr = 0;
    std::uint8_t ier = 0;
    std::uint8_t iir = uart::iir::kNone;
    std::uint8_t lcr = 0;
    std::uint8_t mcr = uart::mcr::kOut2;
    std::uint8_t lsr = uart::lsr::kThre | uart::lsr::kTemt;
    std::uint8_t msr = uart::msr::kDcd | uart::msr::kDsr | uart::msr::kCts;
    std::uint8_t scr = 0;
    std::uint8_t fcr = 0;
    std::optional<SerialThrPending> thr_pending;
    std::optional<SerialTsr> transmitting;
    std::optional<SerialReceiveFifo> receive_fifo;
    std::optional<SerialTransmitFifo> transmit_fifo;
    std::optional<SerialTimeoutTimer> timeout_timer; // accepted, never sent: our time-out has no delay
    std::optional<SerialTimeoutPending> timeout_pending;
    std::optional<SerialPoll> poll; // accepted, never sent: our modem lines do not change
    bool operator==(const SerialState&) const = default;
};

struct SerialSectionState {
    SerialState state;
    bool operator==(const SerialSectionState&) const = default;
};

template <>
struct Schema<Fifo8> {
    static constexpr std::string_view name = "Fifo8";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"data", &Fifo8::data}, Field{"head", &Fifo8::head},
                                       Field{"num", &Fifo8::num}};
    static Status validate(const Fifo8& s) {
        if (s.head >= uart::kFifoSize)
            return corrupt("head is {}, the FIFO has {} places", s.head, uart::kFifoSize);
        if (s.num > uart::kFifoSize)
            return corrupt("{} bytes in a FIFO of {}", s.num, uart::kFifoSize);
        return {};
    }
};
template <>
struct Schema<SerialThrPending> {
    static constexpr std::string_view name = "serial/thr_ipending";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"thr_ipending", &SerialThrPending::thr_ipending}};
};
template <>
struct Schema<SerialTsr> {
    static constexpr std::string_view name = "serial/tsr";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"tsr_retry", &SerialTsr::tsr_retry},
                                       Field{"thr", &SerialTsr::thr}, Field{"tsr", &SerialTsr::tsr}};
};
template <>
struct Schema<SerialReceiveFifo> {
    static constexpr std::string_view name = "serial/recv_fifo";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"recv_fifo", &SerialReceiveFifo::recv_fifo}};
};
template <>
struct Schema<SerialTransmitFifo> {
    static constexpr std::string_view name = "serial/xmit_fifo";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"xmit_fifo", &SerialTransmitFifo::xmit_fifo}};
};
template <>
struct Schema<SerialTimeoutTimer> {
    static constexpr std::string_view name = "serial/fifo_timeout_timer";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"fifo_timeout_timer", &SerialTimeoutTimer::fifo_timeout_timer}};
};
template <>
struct Schema<SerialTimeoutPending> {
    static constexpr std::string_view name = "serial/timeout_ipending";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"timeout_ipending", &SerialTimeoutPending::timeout_ipending}};
};
template <>
struct Schema<SerialPoll> {
    static constexpr std::string_view name = "serial/poll";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"poll_msl", &SerialPoll::poll_msl},
                                       Field{"modem_status_poll", &SerialPoll::modem_status_poll}};
};
template <>
struct Schema<SerialState> {
    static constexpr std::string_view name = "serial";
    static constexpr std::uint32_t version = 3;
    static constexpr std::uint32_t minimum_version = 2;
    static constexpr std::tuple fields{
        Field{"divider", &SerialState::divider}, Field{"rbr", &SerialState::rbr},
        Field{"ier", &SerialState::ier},         Field{"iir", &SerialState::iir},
        Field{"lcr", &SerialState::lcr},         Field{"mcr", &SerialState::mcr},
        Field{"lsr", &SerialState::lsr},         Field{"msr", &SerialState::msr},
        Field{"scr", &SerialState::scr},         Field{"fcr_vmstate", &SerialState::fcr}};
    static constexpr std::tuple subsections{
        Subsection{&SerialState::thr_pending},   Subsection{&SerialState::transmitting},
        Subsection{&SerialState::receive_fifo},  Subsection{&SerialState::transmit_fifo},
        Subsection{&SerialState::timeout_timer}, Subsection{&SerialState::timeout_pending},
        Subsection{&SerialState::poll}};
    // QEMU refuses the same: the transmitter is empty exactly when no byte waits in it.
    static Status validate(const SerialState& s) {
        const bool waits = s.transmitting.has_value() && s.transmitting->tsr_retry != 0;
        if (waits == ((s.lsr & uart::lsr::kTemt) != 0))
            return corrupt("lsr is {:#x}, yet {}", s.lsr,
                           waits ? "a byte waits in the transmitter" : "the transmitter is empty");
        return {};
    }
};
template <>
struct Schema<SerialSectionState> {
    static constexpr std::string_view name = "serial";
    static constexpr std::uint32_t version = 3;
    static constexpr std::uint32_t minimum_version = 2;
    static constexpr std::tuple fields{Field{"state", &SerialSectionState::state}};
};
static_assert(schema_is_complete<Fifo8>());
static_assert(schema_is_complete<SerialThrPending>());
static_assert(schema_is_complete<SerialTsr>());
static_assert(schema_is_complete<SerialReceiveFifo>());
static_assert(schema_is_complete<SerialTransmitFifo>());
static_assert(schema_is_complete<SerialTimeoutTimer>());
static_assert(schema_is_complete<SerialTimeoutPending>());
static_assert(schema_is_complete<SerialPoll>());
static_assert(schema_is_complete<SerialState>());
static_assert(schema_is_complete<SerialSectionState>());

} // namespace godwit
