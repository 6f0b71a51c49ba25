// SPDX-License-Identifier: Apache-2.0
//
// Everything that a plain machine is beside its RAM, its disks and its UART: one struct per section. Programs
// keep nothing anywhere else, and are made anew from this whenever the guest goes on.
#pragma once

#include "migration/state/schema.h"

#include <cstdint>
#include <vector>

namespace godwit::plain {

// The guest's clock stands still while the guest does.
struct ClockState {
    std::uint64_t now = 0; // ns since the start
    bool operator==(const ClockState&) const = default;
};

// Of a pacer (guest-tests/guest/base/pacer.h).
struct PaceState {
    bool begun = false;
    std::uint64_t since = 0;
    std::uint64_t done = 0;
    bool operator==(const PaceState&) const = default;
};

enum class WorkerPhase : std::uint8_t { FillStatic, Write, Verify, VerifyStatic, Done, Failed };

// A CPU's part of the mem program. Pages before the cursor hold `generation`, the others the one before.
struct CpuState {
    std::uint8_t phase = 0;     // WorkerPhase
    std::uint8_t failed_in = 0; // the phase in which it found a page that is wrong
    bool finish = false;        // it is told to
    std::uint64_t generation = 1;
    std::uint64_t cursor = 0;
    std::uint64_t check_cursor = 0;
    std::uint64_t written = 0;
    std::uint64_t verified = 0;
    PaceState pace;
    bool operator==(const CpuState&) const = default;
};

struct HeartbeatState {
    bool begun = false;
    std::uint64_t due = 0;
    std::uint64_t last = 0;
    std::uint64_t beats = 0;
    std::uint64_t late = 0;
    std::uint64_t longest_gap = 0;
    bool operator==(const HeartbeatState&) const = default;
};

struct DiskState {
    std::uint64_t chosen = 0; // random numbers that were used
    std::uint64_t operations = 0;
    std::uint64_t sequence = 0; // of the last block that was written
    std::uint64_t verify_next = 0;
    std::uint64_t writes = 0;
    std::uint64_t reads = 0;
    std::uint64_t flushes = 0;
    std::uint64_t errors = 0;
    PaceState pace;
    bool operator==(const DiskState&) const = default;
};

enum class Stage : std::uint8_t { Boot, Filling, Running, Finishing, Leaving, Off };

// The first CPU's way through the guest, and what it still has to say.
struct ProgramsState {
    std::uint32_t cpus = 1;
    std::uint8_t stage = 0; // Stage
    bool power_button = false;
    bool mem_failure_told = false;
    std::uint64_t failures = 0;
    std::uint64_t ends_at = 0;      // ns, 0: when it is told to
    std::uint64_t gives_up_at = 0;  // in Stage::Finishing
    std::uint16_t output_begin = 0; // of the ring in RAM
    std::uint16_t output_size = 0;
    bool line_empty = true;
    bool operator==(const ProgramsState&) const = default;
};

struct State {
    ClockState clock;
    std::vector<CpuState> cpus;
    ProgramsState programs;
    HeartbeatState heartbeat;
    DiskState disk;
};

} // namespace godwit::plain

namespace godwit {

template <>
struct Schema<plain::ClockState> {
    using S = plain::ClockState;
    static constexpr std::string_view name = "plain-clock";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"now", &S::now}};
    static Status validate(const S& state);
};
template <>
struct Schema<plain::PaceState> {
    using S = plain::PaceState;
    static constexpr std::string_view name = "pace";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"begun", &S::begun}, Field{"since", &S::since},
                                       Field{"done", &S::done}};
};
template <>
struct Schema<plain::CpuState> {
    using S = plain::CpuState;
    static constexpr std::string_view name = "plain-cpu";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"phase", &S::phase},     Field{"failed_in", &S::failed_in},
                                       Field{"finish", &S::finish},   Field{"generation", &S::generation},
                                       Field{"cursor", &S::cursor},   Field{"check_cursor", &S::check_cursor},
                                       Field{"written", &S::written}, Field{"verified", &S::verified},
                                       Field{"pace", &S::pace}};
    static Status validate(const S& state);
};
template <>
struct Schema<plain::HeartbeatState> {
    using S = plain::HeartbeatState;
    static constexpr std::string_view name = "plain-heartbeat";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"begun", &S::begun}, Field{"due", &S::due},
                                       Field{"last", &S::last},   Field{"beats", &S::beats},
                                       Field{"late", &S::late},   Field{"longest_gap", &S::longest_gap}};
};
template <>
struct Schema<plain::DiskState> {
    using S = plain::DiskState;
    static constexpr std::string_view name = "plain-disk";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"chosen", &S::chosen},     Field{"operations", &S::operations},
                                       Field{"sequence", &S::sequence}, Field{"verify_next", &S::verify_next},
                                       Field{"writes", &S::writes},     Field{"reads", &S::reads},
                                       Field{"flushes", &S::flushes},   Field{"errors", &S::errors},
                                       Field{"pace", &S::pace}};
};
template <>
struct Schema<plain::ProgramsState> {
    using S = plain::ProgramsState;
    static constexpr std::string_view name = "plain-programs";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{EqualField{"cpus", &S::cpus},
                                       Field{"stage", &S::stage},
                                       Field{"power_button", &S::power_button},
                                       Field{"mem_failure_told", &S::mem_failure_told},
                                       Field{"failures", &S::failures},
                                       Field{"ends_at", &S::ends_at},
                                       Field{"gives_up_at", &S::gives_up_at},
                                       Field{"output_begin", &S::output_begin},
                                       Field{"output_size", &S::output_size},
                                       Field{"line_empty", &S::line_empty}};
    static Status validate(const S& state);
};

static_assert(schema_is_complete<plain::ClockState>() && schema_is_complete<plain::PaceState>() &&
              schema_is_complete<plain::CpuState>() && schema_is_complete<plain::HeartbeatState>() &&
              schema_is_complete<plain::DiskState>() && schema_is_complete<plain::ProgramsState>());

} // namespace godwit
