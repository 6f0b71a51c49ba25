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
    case ErrorCode::GuestEnded:
        return "guest-ended";
    }
    return "unknown";
}

Error Error::in(std::string_view context) && {
    text = fmt::format("{}: {}", context, text);
    return std::move(*this);
}

Error make_error(ErrorCode code, fmt::string_view format, fmt::format_args args) {
    return Error{code, fmt::vformat(format, args)};
}

Failure::Failure(Error error) : error_(new Error{std::move(error)}) {}

Failure::Failure(const Failure& other)
    : error_(other.error_ == nullptr ? nullptr : new Error{*other.error_}) {}

Failure Failure::in(std::string_view context) && {
    *error_ = std::move(*error_).in(context);
    return std::move(*this);
}

void Failure::Delete::operator()(Error* error) const noexcept {
    delete error;
}

Error system_error(int errno_value, std::string_view what) {
    return Error{ErrorCode::System,
                 fmt::format("{}: {}", what, std::generic_category().message(errno_value))};
}

} // namespace godwit
