// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/plain/output.h"

#include "devices/serial/registers.h"
#include "guest-tests/plain/layout.h"

#include <algorithm>
#include <array>

namespace godwit::plain {

namespace {

constexpr std::uint64_t kRing = Layout::kOutputBytes;
constexpr std::uint64_t kLongestSpeech =
    kRing / 2; // the command line with its words, a status of every program

std::uint8_t read_port(Serial& serial, std::uint64_t port) {
    std::byte value{};
    serial.read(port, {&value, 1});
    return std::to_integer<std::uint8_t>(value);
}

void write_port(Serial& serial, std::uint64_t port, std::byte value) {
    serial.write(port, {&value, 1});
}

} // namespace

void Output::begin() {
    write_port(serial_, uart::kIirFcr, std::byte{uart::fcr::kEnable});
    write_port(serial_, uart::kIer, std::byte{uart::ier::kErbfi});
}

void Output::send() {
    const Gpa ring = address_of(memory_, Layout::kOutput);
    while (state_.output_size != 0 && (read_port(serial_, uart::kLsr) & uart::lsr::kThre) != 0) {
        for (std::size_t i = 0; i < uart::kFifoSize && state_.output_size != 0; ++i) {
            const auto byte = memory_.read<std::byte>(Gpa{ring.value + state_.output_begin});
            write_port(serial_, uart::kRbrThr, byte.ok() ? *byte : std::byte{'?'});
            state_.output_begin = static_cast<std::uint16_t>((state_.output_begin + 1) % kRing);
            --state_.output_size;
        }
    }
}

bool Output::has_room() const {
    return kRing - state_.output_size >= kLongestSpeech;
}

void Output::put(std::string_view text) {
    const Gpa ring = address_of(memory_, Layout::kOutput);
    text = text.substr(0, kRing - state_.output_size);
    if (text.empty())
        return;
    state_.line_empty = text.back() == '\n';
    while (!text.empty()) {
        const std::uint64_t at = (state_.output_begin + state_.output_size) % kRing;
        const std::string_view part = text.substr(0, kRing - at);
        (void)memory_.write(Gpa{ring.value + at}, std::as_bytes(std::span{part.data(), part.size()}));
        state_.output_size = static_cast<std::uint16_t>(state_.output_size + part.size());
        text.remove_prefix(part.size());
    }
}

void Output::start_line() {
    if (!state_.line_empty)
        put("\n");
}

int Output::input() {
    return (read_port(serial_, uart::kLsr) & uart::lsr::kDataReady) == 0 ? -1
                                                                         : read_port(serial_, uart::kRbrThr);
}

Report::~Report() {
    output_.start_line();
    output_.put(line_ + "\n");
}

} // namespace godwit::plain
