// SPDX-License-Identifier: Apache-2.0
//
// Bodies of the messages, encoded and decoded. Decoding bounds every count and refuses bytes that are left.
// Pure functions.
#pragma once

#include "migration/boot/boot_assembly.h"
#include "migration/parameters.h"
#include "migration/preflight/description.h"
#include "migration/run_state.h"
#include "vmm/base/address.h"
#include "vmm/base/result.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace godwit::migration {

using Bytes = std::vector<std::byte>;
using MigrationId = std::array<std::byte, 16>;

inline constexpr std::size_t kMaxErrorText = 4096;
inline constexpr std::uint32_t kMaxTraceSteps = 16384;
inline constexpr std::size_t kMaxTraceBytes = std::size_t{1} << 20;

// What a HELLO is for.
enum class Purpose : std::uint8_t {
    Move,
    Check, // the destination answers with CHECK_REPORT, and nothing moves
};

// Bits of Hello::capabilities. A destination leaves those out that it does not know.
inline constexpr std::uint64_t kCanVerify = 1;
inline constexpr std::uint64_t kCanZstd = 2;
inline constexpr std::uint64_t kCanLz4 = 4;
inline constexpr std::uint64_t kCanBoot = 8;
inline constexpr std::uint64_t kKnowsWeights = 16; // in CHECK_REPORT
inline constexpr std::uint64_t kCapabilities = kCanVerify | kCanZstd | kCanLz4 | kCanBoot | kKnowsWeights;

// HELLO and its reply. The first twelve bytes stay the same in every version of the protocol.
struct Hello {
    std::uint32_t version = 0;
    std::uint64_t capabilities = 0; // wanted; in the reply, those of them that may be used
    MigrationId id{};               // random, of this attempt
    Purpose purpose = Purpose::Move;
    MachineDescription machine;
    // This one included. The reply has how many there may be: no more than were asked for.
    std::uint32_t connections = 1;
    // The reply's: codes of reasons that do not refuse the guest there (preflight/reason.h).
    std::vector<std::string> accepted;
};
inline constexpr std::uint32_t kMaxAccepted = 64;
inline constexpr std::size_t kMaxCode = 64; // its length
Bytes encode(const Hello& hello);
// Incompatible when the peer speaks another version.
Result<Hello> decode_hello(std::span<const std::byte> body);
// The version alone, whichever it is.
Result<std::uint32_t> hello_version(std::span<const std::byte> body);

// RELINQUISH and ERROR; REFUSE and CHECK_REPORT are preflight/difference.h's.
Bytes encode_error(const Error& error);
// The peer's error; one about the body when it cannot be read.
Error decode_error(std::span<const std::byte> body);

// A run of pages in RAM and RAM_ZERO.
struct PageRun {
    RamOffset offset;
    std::uint32_t pages = 0;
    bool operator==(const PageRun&) const = default;
};
// RAM: the runs, and a checksum for each page of the data that follows them.
Bytes encode_ram(std::span<const PageRun> runs, std::span<const std::uint32_t> page_crcs);
struct RamBody {
    std::vector<PageRun> runs;
    std::vector<std::uint32_t> page_crcs;
};
// Runs are aligned, not empty and inside of `ram_size`; their pages are as many as the data has.
Result<RamBody> decode_ram(std::span<const std::byte> body, std::uint32_t data_length,
                           std::uint64_t ram_size);
// RAM_PACKED: the same body; the data is one block, smaller than the pages.
Result<RamBody> decode_packed(std::span<const std::byte> body, std::uint32_t data_length,
                              std::uint64_t ram_size);
Bytes encode_zero(std::span<const PageRun> runs);
Result<std::vector<PageRun>> decode_zero(std::span<const std::byte> body, std::uint64_t ram_size);

// ROUND_END, ROUND_ACK and FINAL_ROUND.
struct Round {
    std::uint32_t number = 0;
    std::uint64_t pages = 0;
    bool operator==(const Round&) const = default;
};
Bytes encode(const Round& round);
Result<Round> decode_round(std::span<const std::byte> body);

// VERIFY: checksums of pieces of RAM, the first of which is piece `first`.
struct Verify {
    std::uint64_t first = 0;
    std::vector<std::uint32_t> digests;
};
Bytes encode_verify(std::uint64_t first, std::span<const std::uint32_t> digests);
Result<Verify> decode_verify(std::span<const std::byte> body);

// BOOT: the bytes of a part that follow those which were sent.
struct BootPiece {
    BootPart part = BootPart::Kernel;
    std::uint64_t total = 0; // of the part
    std::uint64_t offset = 0;
    std::uint32_t sum = 0; // CRC-32C of the part up to the end of this piece
    std::span<const std::byte> bytes;
};
Bytes encode(const BootPiece& piece);
// The bytes are part of `body`. Whether they fit what is here already is BootAssembly's to say.
Result<BootPiece> decode_boot(std::span<const std::byte> body);

// The first word on a further connection.
struct Attach {
    MigrationId id{};
    std::uint32_t index = 0; // 1 up to one less than the connections that HELLO announced
};
Bytes encode(const Attach& attach);
Result<Attach> decode_attach(std::span<const std::byte> body);

struct StateBody {
    std::vector<std::string> trace; // how the source saved it
    std::span<const std::byte> stream;
};
Bytes encode(const StateBody& state);
// The stream is part of `body`.
Result<StateBody> decode_state(std::span<const std::byte> body);

struct Ready {
    std::chrono::microseconds load{};
    std::chrono::microseconds apply{};
    std::vector<std::string> trace; // how the destination loaded it
};
Bytes encode(const Ready& ready);
Result<Ready> decode_ready(std::span<const std::byte> body);

struct Commit {
    MigrationId id{};
    RunState state = RunState::Paused;
};
Bytes encode(const Commit& commit);
Result<Commit> decode_commit(std::span<const std::byte> body);

struct RunningBody {
    MigrationId id{};
    std::chrono::microseconds take_over{};
};
Bytes encode(const RunningBody& running);
Result<RunningBody> decode_running(std::span<const std::byte> body);

// QUERY and UNKNOWN: the migration that is meant.
Bytes encode_id(const MigrationId& id);
Result<MigrationId> decode_id(std::span<const std::byte> body);

} // namespace godwit::migration
