// SPDX-License-Identifier: Apache-2.0
//
// Names of channel I/O: z/Architecture Principles of Operation (SA22-7832), chapters 14 to 17, and the
// registers through which an x86 guest reaches it (docs/ccw-transport.md). Constants only, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace godwit::ccw {

inline constexpr std::uint64_t kAddressLimit = std::uint64_t{1} << 31; // of programs and their data
inline constexpr std::uint32_t kAddressBad = 0x8000'0000;              // set in an address of 31 bits
inline constexpr std::uint32_t kCcwSize = 8;

// Command codes. The lower four bits give the kind.
inline constexpr std::uint8_t kCommandNoOp = 0x03;
inline constexpr std::uint8_t kCommandSense = 0x04;
inline constexpr std::uint8_t kCommandTransfer = 0x08; // transfer in channel
inline constexpr std::uint8_t kCommandSenseId = 0xe4;

// CCW flags.
inline constexpr std::uint8_t kCcwChainData = 0x80;
inline constexpr std::uint8_t kCcwChainCommand = 0x40;
inline constexpr std::uint8_t kCcwSuppressLength = 0x20;
inline constexpr std::uint8_t kCcwSkip = 0x10;
inline constexpr std::uint8_t kCcwInterrupt = 0x08; // program-controlled interruption
inline constexpr std::uint8_t kCcwIndirect = 0x04;
inline constexpr std::uint8_t kCcwSuspend = 0x02;
inline constexpr std::uint8_t kCcwModifiedIndirect = 0x01;

// ORB, word 1.
inline constexpr std::uint16_t kOrbKey = 0xf000;
inline constexpr std::uint16_t kOrbSuspend = 0x0800;
inline constexpr std::uint16_t kOrbFormat1 = 0x0080;
inline constexpr std::uint16_t kOrbPrefetch = 0x0040;
inline constexpr std::uint16_t kOrbInitialStatus = 0x0020;
inline constexpr std::uint16_t kOrbSuppressSuspended = 0x0008;
inline constexpr std::uint16_t kOrbCopied = // has the same place in the SCSW
    kOrbKey | kOrbSuspend | kOrbFormat1 | kOrbPrefetch | kOrbInitialStatus | kOrbSuppressSuspended;
inline constexpr std::uint16_t kOrbInvalid = 0x0004;
inline constexpr std::uint8_t kOrb1SuppressImmediate = 0x80;
inline constexpr std::uint8_t kOrb1Invalid = 0x7f;

// PMCW.
inline constexpr std::uint16_t kPmcwIsc = 0x3800;
inline constexpr unsigned kPmcwIscShift = 11;
inline constexpr std::uint16_t kPmcwEnabled = 0x0080;
inline constexpr std::uint16_t kPmcwValid = 0x0001;
inline constexpr std::uint16_t kPmcwModifiable = 0x38fc; // ISC, enabled, limit, measurement, multipath
inline constexpr std::uint16_t kPmcwInvalid = 0xc700;
inline constexpr std::uint32_t kPmcwConcurrentSense = 0x1;
inline constexpr std::uint32_t kPmcwMeasurementFormat = 0x4;
inline constexpr std::uint32_t kPmcwCharsInvalid = 0xff1f'fffa;
inline constexpr std::uint8_t kPath = 0x80; // the only one

// SCSW, flags.
inline constexpr std::uint16_t kScswEswFormat = 0x0400;
inline constexpr std::uint16_t kScswExtendedControl = 0x0002;
inline constexpr std::uint16_t kScswPathNotOperational = 0x0001;
// SCSW, control.
inline constexpr std::uint16_t kFunctions = 0x7000;
inline constexpr std::uint16_t kStartFunction = 0x4000;
inline constexpr std::uint16_t kHaltFunction = 0x2000;
inline constexpr std::uint16_t kClearFunction = 0x1000;
inline constexpr std::uint16_t kActivities = 0x0fe0;
inline constexpr std::uint16_t kResumePending = 0x0800;
inline constexpr std::uint16_t kStartPending = 0x0400;
inline constexpr std::uint16_t kHaltPending = 0x0200;
inline constexpr std::uint16_t kClearPending = 0x0100;
inline constexpr std::uint16_t kSubchannelActive = 0x0080;
inline constexpr std::uint16_t kDeviceActive = 0x0040;
inline constexpr std::uint16_t kSuspended = 0x0020;
inline constexpr std::uint16_t kStatusBits = 0x001f;
inline constexpr std::uint16_t kAlert = 0x0010;
inline constexpr std::uint16_t kIntermediate = 0x0008;
inline constexpr std::uint16_t kPrimary = 0x0004;
inline constexpr std::uint16_t kSecondary = 0x0002;
inline constexpr std::uint16_t kStatusPending = 0x0001;
inline constexpr std::uint16_t kControlReserved = 0x8000;
// Device status.
inline constexpr std::uint8_t kChannelEnd = 0x08;
inline constexpr std::uint8_t kDeviceEnd = 0x04;
inline constexpr std::uint8_t kUnitCheck = 0x02;
// Subchannel status.
inline constexpr std::uint8_t kProgramInterruption = 0x80;
inline constexpr std::uint8_t kIncorrectLength = 0x40;
inline constexpr std::uint8_t kProgramCheck = 0x20;

// Sense byte 0.
inline constexpr std::uint8_t kSenseCommandReject = 0x80;
inline constexpr std::uint8_t kSenseEquipmentCheck = 0x10;

inline constexpr std::size_t kSenseBytes = 32;
inline constexpr std::size_t kSchibBytes = 52;
inline constexpr std::size_t kIrbBytes = 96;

// Subchannel id.
inline constexpr std::uint32_t kSchidOne = 0x0001'0000;
inline constexpr std::uint32_t kSchidSet = 0x0006'0000;
inline constexpr std::uint32_t kSchidInvalid = 0xfff8'0000;
inline constexpr std::uint32_t kMaxSubchannels = 256;
inline constexpr std::uint8_t kVirtualCss = 0xfe; // channel subsystem of virtual devices, in names and state

constexpr std::uint32_t subchannel_id(std::uint16_t number) {
    return kSchidOne | number;
}
constexpr std::uint8_t isc_bit(std::uint8_t isc) {
    return static_cast<std::uint8_t>(0x80 >> isc);
}

// ---- the window

inline constexpr std::uint64_t kRegisterArea = 0x1000;
inline constexpr std::uint64_t kDoorbellArea = 0x1'0000;
inline constexpr std::uint64_t kWindowSize = 0x2'0000;

inline constexpr std::uint64_t kRegId = 0x00;
inline constexpr std::uint64_t kRegVersion = 0x04;
inline constexpr std::uint64_t kRegDoorbells = 0x08;
inline constexpr std::uint64_t kRegOperation = 0x10;
inline constexpr std::uint64_t kRegNotify = 0x18;
inline constexpr std::uint64_t kRegIscMask = 0x20;
inline constexpr std::uint64_t kRegIoPending = 0x24;
inline constexpr std::uint64_t kRegAdapterPending = 0x28;
inline constexpr std::uint32_t kWindowId = 0x5743'4347; // "GCCW"
inline constexpr std::uint32_t kWindowVersion = 1;

// Functions of an operation block: the instructions' codes.
inline constexpr std::uint32_t kClearSubchannel = 0xb230;
inline constexpr std::uint32_t kHaltSubchannel = 0xb231;
inline constexpr std::uint32_t kModifySubchannel = 0xb232;
inline constexpr std::uint32_t kStartSubchannel = 0xb233;
inline constexpr std::uint32_t kStoreSubchannel = 0xb234;
inline constexpr std::uint32_t kTestSubchannel = 0xb235;
inline constexpr std::uint32_t kTestPendingInterruption = 0xb236;
inline constexpr std::uint32_t kResumeSubchannel = 0xb238;
inline constexpr std::uint32_t kNotify = 0x0500;

inline constexpr std::size_t kBlockBytes = 40;
inline constexpr std::uint64_t kBlockOutcome = 24;
inline constexpr std::uint64_t kBlockResult = 32;

// What an operation ends with: condition code, or a program exception.
enum class Outcome : std::uint32_t {
    Done = 0,
    Code1 = 1,
    Code2 = 2,
    NotOperational = 3,
    OperationException = 0x8000'0001,
    AddressingException = 0x8000'0005,
    SpecificationException = 0x8000'0006,
    OperandException = 0x8000'0015,
};

// Doorbells: a place of four bytes for each queue.
inline constexpr std::uint32_t kDoorbellStride = 4;
inline constexpr std::uint32_t kDoorbellsPerSubchannel = 64;
constexpr std::uint32_t doorbell_cookie(std::uint16_t subchannel, std::uint16_t queue) {
    return (subchannel * kDoorbellsPerSubchannel + queue) * kDoorbellStride;
}
static_assert(kMaxSubchannels * kDoorbellsPerSubchannel * kDoorbellStride == kDoorbellArea);
inline constexpr std::int64_t kNotifyInvalid = -22; // no such subchannel or queue

} // namespace godwit::ccw
