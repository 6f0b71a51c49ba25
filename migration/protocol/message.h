// SPDX-License-Identifier: Apache-2.0
//
// The messages between two godwits and the frame that carries each: a fixed header, a body, and for RAM the
// page data. Little-endian. README.md tells who sends what when.
//
//     offset  0  magic "GDWT"     4  type (2)   6  flags (2, zero)   8  sequence number, per direction from 1
//            12  body length     16  data length   20  CRC of the body   24  zero   28  CRC of bytes 0 to 27
#pragma once

#include "vmm/base/bytes.h"
#include "vmm/base/result.h"

#include <array>
#include <cstdint>
#include <string_view>

namespace godwit::migration {

inline constexpr std::uint32_t kFrameMagic = 0x54574447; // "GDWT" in memory
inline constexpr std::size_t kHeaderBytes = 32;
inline constexpr std::uint32_t kProtocolVersion = 4;

enum class Message : std::uint16_t {
    // 0 is never sent: zeros are not a message.
    Hello = 1,        // S: version, migration id, the machine; the guest is to move, or only to be checked
    HelloReply = 2,   // D: version, the machine; go on
    Refuse = 3,       // D: what does not fit, all of it
    Ram = 4,          // S: runs of pages, then their data
    RamZero = 5,      // S: ranges that read zero
    RoundEnd = 6,     // S: every page of this round was sent
    RoundAck = 7,     // D: every page of this round is in place
    FinalRound = 8,   // S: the guest is paused; the round that follows is the last
    State = 9,        // S: the device state
    Ready = 10,       // D: all is loaded and applied; the guest would run at a COMMIT
    Commit = 11,      // S: the guest is yours
    Running = 12,     // D: the guest is mine
    Relinquish = 13,  // D, after a COMMIT: the guest did not run here and never will
    Error = 14,       // S, D: why this side gives up
    Query = 15,       // S, on a connection of its own: who has the guest of this migration?
    Unknown = 16,     // D: this receiver never heard of it
    CheckReport = 17, // D: the answer to a HELLO that only asks: what does not fit, perhaps nothing
    Attach = 18,      // S, first on a further connection: which migration it belongs to
    RamPacked = 19,   // S: as RAM, with the pages compressed as one block
    Verify = 20,      // S: checksums of all of RAM while the guest is paused
    Boot = 21,        // S, before the first round: a piece of what the guest is booted with
};

inline constexpr std::uint32_t kPagesPerFrame = 256;
inline constexpr std::uint32_t kRangesPerFrame = 4096;
inline constexpr std::uint32_t kDigestsPerFrame = 16384;
inline constexpr std::uint32_t kBootBytesPerFrame = 1 << 20;

struct MessageTraits {
    Message type;
    std::string_view name;
    // Compared with the header before anything is allocated or read.
    std::uint32_t max_body;
    std::uint32_t max_data;
};

inline constexpr std::array kMessages{
    MessageTraits{Message::Hello, "HELLO", 1 << 20, 0},
    MessageTraits{Message::HelloReply, "HELLO_REPLY", 1 << 20, 0},
    MessageTraits{Message::Refuse, "REFUSE", 1 << 20, 0},
    MessageTraits{Message::Ram, "RAM", kPagesPerFrame * 16 + 4, kPagesPerFrame * 4096},
    MessageTraits{Message::RamZero, "RAM_ZERO", kRangesPerFrame * 16, 0},
    MessageTraits{Message::RoundEnd, "ROUND_END", 64, 0},
    MessageTraits{Message::RoundAck, "ROUND_ACK", 64, 0},
    MessageTraits{Message::FinalRound, "FINAL_ROUND", 64, 0},
    MessageTraits{Message::State, "STATE", (64 << 20) + (1 << 20) + 64, 0},
    MessageTraits{Message::Ready, "READY", (1 << 20) + 64, 0},
    MessageTraits{Message::Commit, "COMMIT", 64, 0},
    MessageTraits{Message::Running, "RUNNING", 64, 0},
    MessageTraits{Message::Relinquish, "RELINQUISH", 8 << 10, 0},
    MessageTraits{Message::Error, "ERROR", 8 << 10, 0},
    MessageTraits{Message::Query, "QUERY", 64, 0},
    MessageTraits{Message::Unknown, "UNKNOWN", 64, 0},
    MessageTraits{Message::CheckReport, "CHECK_REPORT", 1 << 20, 0},
    MessageTraits{Message::Attach, "ATTACH", 64, 0},
    MessageTraits{Message::RamPacked, "RAM_PACKED", kPagesPerFrame * 16 + 4, kPagesPerFrame * 4096},
    MessageTraits{Message::Verify, "VERIFY", kDigestsPerFrame * 4 + 12, 0},
    MessageTraits{Message::Boot, "BOOT", kBootBytesPerFrame + 32, 0},
};

constexpr const MessageTraits* traits_of(Message type) {
    for (const MessageTraits& traits : kMessages)
        if (traits.type == type)
            return &traits;
    return nullptr;
}
constexpr std::string_view to_string(Message type) {
    const MessageTraits* const traits = traits_of(type);
    return traits != nullptr ? traits->name : "unknown";
}

struct FrameHeader {
    Message type{};
    std::uint32_t sequence = 0;
    std::uint32_t body_length = 0;
    std::uint32_t data_length = 0;
    std::uint32_t body_crc = 0;
};

std::array<std::byte, kHeaderBytes> encode(const FrameHeader& header);
// Everything about the header alone: magic, checksum, known type, lengths within the type's bounds.
Result<FrameHeader> decode_header(std::span<const std::byte, kHeaderBytes> bytes);

} // namespace godwit::migration
