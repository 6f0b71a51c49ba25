// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a request that the host's disk refuses: QEMU's werror and rerror.
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace godwit::virtio {

enum class ErrorPolicy : std::uint8_t {
    Report, // the guest is told
    Stop,   // the guest stands still, and the request is tried again when it goes on
    Enospc, // the latter when there is no space, else the former
    Ignore, // the guest is told that it was done
};
enum class ErrorAction : std::uint8_t { Report, Stop, Ignore };

struct ErrorPolicyName {
    ErrorPolicy policy;
    std::string_view name;
    bool for_reads;
};
inline constexpr std::array kErrorPolicies{ErrorPolicyName{ErrorPolicy::Report, "report", true},
                                           ErrorPolicyName{ErrorPolicy::Stop, "stop", true},
                                           ErrorPolicyName{ErrorPolicy::Enospc, "enospc", false},
                                           ErrorPolicyName{ErrorPolicy::Ignore, "ignore", true}};

inline constexpr ErrorPolicy kDefaultWriteErrors = ErrorPolicy::Enospc;
inline constexpr ErrorPolicy kDefaultReadErrors = ErrorPolicy::Report;

constexpr ErrorAction action_of(ErrorPolicy policy, int errno_value) {
    switch (policy) {
    case ErrorPolicy::Report:
        break;
    case ErrorPolicy::Stop:
        return ErrorAction::Stop;
    case ErrorPolicy::Enospc:
        return errno_value == ENOSPC ? ErrorAction::Stop : ErrorAction::Report;
    case ErrorPolicy::Ignore:
        return ErrorAction::Ignore;
    }
    return ErrorAction::Report;
}

constexpr std::string_view to_string(ErrorAction action) {
    switch (action) {
    case ErrorAction::Report:
        break;
    case ErrorAction::Stop:
        return "stop";
    case ErrorAction::Ignore:
        return "ignore";
    }
    return "report";
}

// A request that failed, and what was decided.
struct BlkError {
    bool write = false; // flushes, discards and zeroes too
    ErrorAction action = ErrorAction::Report;
    int errno_value = 0;
    std::string text;
};

} // namespace godwit::virtio
