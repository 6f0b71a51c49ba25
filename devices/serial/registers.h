// SPDX-License-Identifier: Apache-2.0
//
// Registers of the 16550A UART. Reference: NS PC16550D data sheet (1995), section 8; table II for the names.
#pragma once

#include <cstddef>
#include <cstdint>

namespace godwit::uart {

// Offsets from the base port. DLL and DLM take the place of the first two while LCR.DLAB is set.
enum Register : std::uint64_t {
    kRbrThr = 0, // Receiver Buffer (read), Transmitter Holding (write)
    kIer = 1,    // Interrupt Enable
    kIirFcr = 2, // Interrupt Identification (read), FIFO Control (write)
    kLcr = 3,    // Line Control
    kMcr = 4,    // Modem Control
    kLsr = 5,    // Line Status
    kMsr = 6,    // Modem Status
    kScr = 7,    // Scratch
};
inline constexpr std::uint64_t kPorts = 8;
inline constexpr std::size_t kFifoSize = 16;

namespace ier {
inline constexpr std::uint8_t kErbfi = 0x01; // received data available, and character time-out
inline constexpr std::uint8_t kEtbei = 0x02; // transmitter holding register empty
inline constexpr std::uint8_t kElsi = 0x04;  // receiver line status
inline constexpr std::uint8_t kEdssi = 0x08; // modem status
inline constexpr std::uint8_t kMask = 0x0f;
} // namespace ier

// Table IV: identification by priority.
namespace iir {
inline constexpr std::uint8_t kModemStatus = 0x00;
inline constexpr std::uint8_t kNone = 0x01;
inline constexpr std::uint8_t kTransmitterEmpty = 0x02;
inline constexpr std::uint8_t kReceivedData = 0x04;
inline constexpr std::uint8_t kLineStatus = 0x06;
inline constexpr std::uint8_t kTimeout = 0x0c;
inline constexpr std::uint8_t kIdMask = 0x0f;
inline constexpr std::uint8_t kFifosEnabled = 0xc0;
} // namespace iir

namespace fcr {
inline constexpr std::uint8_t kEnable = 0x01;
inline constexpr std::uint8_t kReceiverReset = 0x02;    // self-clearing
inline constexpr std::uint8_t kTransmitterReset = 0x04; // self-clearing
inline constexpr std::uint8_t kTriggerShift = 6;
inline constexpr std::uint8_t kMask = 0xc9; // what is kept
} // namespace fcr

namespace lcr {
inline constexpr std::uint8_t kDlab = 0x80;
} // namespace lcr

namespace mcr {
inline constexpr std::uint8_t kDtr = 0x01;
inline constexpr std::uint8_t kRts = 0x02;
inline constexpr std::uint8_t kOut1 = 0x04;
inline constexpr std::uint8_t kOut2 = 0x08;
inline constexpr std::uint8_t kLoop = 0x10;
inline constexpr std::uint8_t kMask = 0x1f;
} // namespace mcr

namespace lsr {
inline constexpr std::uint8_t kDataReady = 0x01;
inline constexpr std::uint8_t kOverrun = 0x02;
inline constexpr std::uint8_t kBreak = 0x10;
inline constexpr std::uint8_t kErrors = 0x1e; // overrun, parity, framing, break: the line status interrupt
inline constexpr std::uint8_t kThre = 0x20;   // transmitter holding register (or FIFO) empty
inline constexpr std::uint8_t kTemt = 0x40;   // and the shift register too
} // namespace lsr

namespace msr {
inline constexpr std::uint8_t kDeltas = 0x0f;
inline constexpr std::uint8_t kCts = 0x10;
inline constexpr std::uint8_t kDsr = 0x20;
inline constexpr std::uint8_t kRi = 0x40;
inline constexpr std::uint8_t kDcd = 0x80;
} // namespace msr

} // namespace godwit::uart
