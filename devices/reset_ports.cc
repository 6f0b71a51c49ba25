// SPDX-License-Identifier: Apache-2.0
#include "devices/reset_ports.h"

#include <algorithm>

namespace godwit {

namespace {

constexpr std::uint8_t kResetCpu = 1 << 2;
constexpr std::uint8_t kPulseMask = 0xf1, kPulseReset = 0xf0;

} // namespace

std::string_view ResetPort::name() const {
    return kind_ == Kind::ResetControl ? "reset-control" : "keyboard-reset";
}

void ResetPort::read(std::uint64_t, std::span<std::byte> data) {
    std::fill(data.begin(), data.end(), std::byte{0});
}

void ResetPort::write(std::uint64_t, std::span<const std::byte> data) {
    const auto value = std::to_integer<std::uint8_t>(data.front());
    if (kind_ == Kind::ResetControl ? (value & kResetCpu) != 0 : (value & kPulseMask) == kPulseReset)
        reset_();
}

} // namespace godwit
