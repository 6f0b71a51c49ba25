// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/result.h"

#include <system_error>

namespace godwit {

std::string_view to_string(ErrorCode code) {
    switch (code) {
    case ErrorCode::Internal:
        return "internal";
    case ErrorCode::InvalidInput:
        return "invalid-input";
    case ErrorCode::System:
        return "system";
    case ErrorCode::NoDevice:
        return "no-device";
    case ErrorCode::Guest:
        return "guest";
    case ErrorCode::Protocol:
        return "protocol";
    case ErrorCode::Corrupt:
        return "corrupt";
    case ErrorCode::Incompatible:
        return "incompatible";
    case ErrorCode::Disconnected:
        return "disconnected";
    case ErrorCode::Cancelled:
        return "cancelled";
    case ErrorCode::InDoubt:
        return "in-doubt";
    case ErrorCode::NotConverging:
        return "not-converging";
    }
    return "unknown";
}

Error system_error(int errno_value, std::string_view what) {
    return Error{ErrorCode::System,
                 fmt::format("{}: {}", what, std::generic_category().message(errno_value))};
}

} // namespace godwit
