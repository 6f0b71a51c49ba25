// SPDX-License-Identifier: Apache-2.0
//
// What the serial tests stand the UART on: a console with a settable appetite, an interrupt line that counts.
#pragma once

#include "devices/serial/serial.h"

#include <limits>
#include <string>

namespace godwit {

struct FakeLine final : IrqLine {
    void set_level(bool high) override {
        edges += high && !level ? 1 : 0;
        level = high;
    }
    int edges = 0;
    bool level = false;
};

class FakeConsole final : public Console {
  public:
    std::string describe() const override { return "fake"; }
    void connect(User* user) override { user_ = user; }
    std::size_t write(std::span<const std::byte> bytes) override {
        const auto part = bytes.first(std::min(bytes.size(), appetite));
        appetite -= part.size();
        for (const std::byte byte : part)
            output += std::to_integer<char>(byte);
        return part.size();
    }
    std::size_t read(std::span<std::byte> room) override {
        const auto count = std::min(room.size(), input.size());
        for (std::size_t i = 0; i < count; ++i)
            room[i] = std::byte{static_cast<unsigned char>(input[i])};
        input.erase(0, count);
        return count;
    }
    void want_input() override { ++wanted; }
    Status flush(std::chrono::milliseconds) override {
        ++flushes;
        if (appetite_after_flush != 0)
            appetite = std::exchange(appetite_after_flush, 0);
        return flush_result;
    }

    // What the loop would do.
    void type(std::string_view text) {
        input += text;
        user_->input_ready();
    }
    void answer_wanted() {
        while (wanted != 0) {
            --wanted;
            user_->input_ready();
        }
    }
    void take_more(std::size_t bytes) {
        appetite = bytes;
        user_->output_ready();
    }
    bool connected() const { return user_ != nullptr; }

    std::string output, input;
    std::size_t appetite = std::numeric_limits<std::size_t>::max();
    std::size_t appetite_after_flush = 0;
    Status flush_result;
    int wanted = 0, flushes = 0;

  private:
    User* user_ = nullptr;
};

// Running, as after the start of a machine.
struct SerialFixture {
    SerialFixture() {
        uart.resume();
        console.wanted = 0;
    }

    FakeLine line;
    FakeConsole console;
    Serial uart{line, console};

    std::uint8_t in(std::uint64_t reg) {
        std::array<std::byte, 1> data{};
        uart.read(reg, data);
        return std::to_integer<std::uint8_t>(data[0]);
    }
    void out(std::uint64_t reg, unsigned value) {
        const std::array data{std::byte{static_cast<unsigned char>(value)}};
        uart.write(reg, data);
    }
    void send(std::string_view text) {
        for (const char c : text)
            out(uart::kRbrThr, static_cast<unsigned char>(c));
    }
    std::string receive_all() {
        std::string text;
        while ((in(uart::kLsr)&uart::lsr::kDataReady) != 0)
            text += static_cast<char>(in(uart::kRbrThr));
        return text;
    }
};

} // namespace godwit
