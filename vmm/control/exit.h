// SPDX-License-Identifier: Apache-2.0
//
// How a godwit process ends, and the exit statuses that scripts rely on (README, "Exit statuses").
#pragma once

#include "vmm/base/result.h"

namespace godwit {

enum class ExitStatus : int {
    Success = 0,         // the guest powered off, was migrated away, or quit was asked for
    Failure = 1,         // anything without a status of its own
    Usage = 2,           // the command line, or a file that it names, is wrong
    NoResource = 3,      // /dev/kvm, a disk, a tap or a lock cannot be had
    GuestCrashed = 4,    // triple fault, or an instruction that KVM cannot emulate
    MigrationFailed = 5, // the guest goes on where it was
    Incompatible = 6,    // the two machines do not fit; the guest goes on where it was
    InDoubt = 7,         // the handover's outcome is not known; the guest is stopped here
    Cancelled = 8,
    GuestEnded = 9, // of a migration: the guest powered itself off meanwhile
    Sandboxed = 10, // a thread made a system call that its role may not make (vmm/sandbox)
};

constexpr ExitStatus exit_status(ErrorCode code) {
    switch (code) {
    case ErrorCode::InvalidInput:
        return ExitStatus::Usage;
    case ErrorCode::NoDevice:
        return ExitStatus::NoResource;
    case ErrorCode::Guest:
        return ExitStatus::GuestCrashed;
    case ErrorCode::Protocol:
    case ErrorCode::Corrupt:
    case ErrorCode::Disconnected:
    case ErrorCode::NotConverging:
        return ExitStatus::MigrationFailed;
    case ErrorCode::Incompatible:
        return ExitStatus::Incompatible;
    case ErrorCode::InDoubt:
        return ExitStatus::InDoubt;
    case ErrorCode::Cancelled:
        return ExitStatus::Cancelled;
    case ErrorCode::GuestEnded:
        return ExitStatus::GuestEnded;
    case ErrorCode::Internal:
    case ErrorCode::System:
        return ExitStatus::Failure;
    }
    return ExitStatus::Failure;
}

// Of an attempt to migrate, the same on both sides: whatever the cause, it says what became of the guest.
constexpr ExitStatus migration_exit_status(ErrorCode code) {
    const ExitStatus status = exit_status(code);
    const bool tells = status == ExitStatus::Incompatible || status == ExitStatus::InDoubt ||
                       status == ExitStatus::Cancelled || status == ExitStatus::GuestEnded;
    return tells ? status : ExitStatus::MigrationFailed;
}

} // namespace godwit
