// SPDX-License-Identifier: Apache-2.0
#include "devices/serial/serial.h"

#include "devices/serial/serial_fakes.h"

#include <catch2/catch.hpp>

namespace godwit {

using namespace uart;

namespace {
constexpr unsigned kIdle = lsr::kThre | lsr::kTemt;
}

TEST_CASE("a byte written goes out at once and leaves the transmitter empty", "[serial]") {
    SerialFixture f;
    CHECK(f.in(kLsr) == kIdle);
    f.send("Hello");
    CHECK(f.console.output == "Hello");
    CHECK(f.in(kLsr) == kIdle);
}

TEST_CASE("registers after power-up are those of the data sheet, as QEMU has them", "[serial]") {
    SerialFixture f;
    CHECK(f.in(kIer) == 0);
    CHECK(f.in(kIirFcr) == 0x01);
    CHECK(f.in(kLcr) == 0);
    CHECK(f.in(kMcr) == 0x08);
    CHECK(f.in(kLsr) == 0x60);
    CHECK(f.in(kMsr) == 0xb0);
    CHECK(f.in(kScr) == 0);
    CHECK_FALSE(f.line.level);
}

TEST_CASE("the divisor latch hides behind DLAB", "[serial]") {
    SerialFixture f;
    f.out(kLcr, 0x83);
    CHECK(f.in(kRbrThr) == 12);
    CHECK(f.in(kIer) == 0);
    f.out(kRbrThr, 0x34);
    f.out(kIer, 0x12);
    CHECK(f.uart.capture().divider == 0x1234);
    CHECK(f.in(kIer) == 0x12);
    f.out(kLcr, 0x03);
    CHECK(f.in(kIer) == 0);
    CHECK(f.console.output.empty());
}

TEST_CASE("the scratch register holds every value", "[serial]") {
    SerialFixture f;
    for (unsigned value = 0; value < 256; ++value) {
        f.out(kScr, value);
        CHECK(f.in(kScr) == value);
    }
}

TEST_CASE("a 16550A is recognised by its FIFO bits", "[serial]") {
    SerialFixture f;
    CHECK((f.in(kIirFcr)&0xc0) == 0);
    f.out(kIirFcr, fcr::kEnable);
    CHECK((f.in(kIirFcr)&0xc0) == 0xc0);
    f.out(kIirFcr, 0);
    CHECK((f.in(kIirFcr)&0xc0) == 0);
}

TEST_CASE("wide accesses are bytes at successive registers, past the end zeros", "[serial]") {
    SerialFixture f;
    const std::array data{std::byte{0x1f}, std::byte{0xff}, std::byte{0xff}, std::byte{0x77}};
    f.uart.write(kMcr, data);
    CHECK(f.in(kScr) == 0x77);
    std::array<std::byte, 4> back{};
    f.uart.read(kScr, back);
    CHECK(back == std::array{std::byte{0x77}, std::byte{0}, std::byte{0}, std::byte{0}});
}

TEST_CASE("loopback: the modem's inputs are its outputs, data comes back, nothing goes out", "[serial]") {
    SerialFixture f;
    const auto modem = [&](unsigned outputs) {
        f.out(kMcr, mcr::kLoop | outputs);
        return f.in(kMsr);
    };
    CHECK(modem(0) == 0);
    CHECK(modem(mcr::kRts) == msr::kCts);
    CHECK(modem(mcr::kDtr) == msr::kDsr);
    CHECK(modem(mcr::kOut1) == msr::kRi);
    CHECK(modem(mcr::kOut2) == msr::kDcd);
    CHECK(modem(0x0a) == 0x90); // the probe of Linux
    f.out(kIirFcr, fcr::kEnable);
    f.send("abc");
    CHECK(f.console.output.empty());
    CHECK(f.receive_all() == "abc");
    f.console.type("x"); // waits outside
    CHECK((f.in(kLsr)&lsr::kDataReady) == 0);
    f.out(kMcr, mcr::kOut2);
    f.console.answer_wanted();
    CHECK(f.receive_all() == "x");
}

TEST_CASE("loopback overrun is reported once, with the line status interrupt", "[serial]") {
    SerialFixture f;
    f.out(kMcr, mcr::kLoop);
    f.out(kIirFcr, fcr::kEnable);
    f.out(kIer, ier::kElsi);
    f.send("0123456789abcdef");
    CHECK_FALSE(f.line.level);
    f.send("X");
    CHECK(f.line.level);
    CHECK((f.in(kIirFcr)&iir::kIdMask) == iir::kLineStatus);
    CHECK((f.in(kLsr)&lsr::kOverrun) != 0);
    CHECK((f.in(kLsr)&lsr::kOverrun) == 0);
    CHECK_FALSE(f.line.level);
    CHECK(f.receive_all() == "0123456789abcdef");
}

TEST_CASE("the transmitter's interrupt: on enabling, after each byte, gone when identified", "[serial]") {
    SerialFixture f;
    f.out(kIer, ier::kEtbei);
    CHECK(f.line.level);
    CHECK((f.in(kIirFcr)&iir::kIdMask) == iir::kTransmitterEmpty);
    CHECK_FALSE(f.line.level);
    CHECK((f.in(kIirFcr)&iir::kIdMask) == iir::kNone);
    f.send("a");
    CHECK(f.line.level);
    f.out(kIer, 0);
    CHECK_FALSE(f.line.level);
    f.out(kIer, ier::kEtbei);
    CHECK(f.line.level);
    CHECK(f.line.edges == 3);
}

TEST_CASE("input below the trigger level interrupts as a time-out, above it as data", "[serial]") {
    SerialFixture f;
    f.out(kIirFcr, fcr::kEnable | 2 << fcr::kTriggerShift); // 8 bytes
    f.out(kIer, ier::kErbfi);
    f.console.type("1234567");
    CHECK(f.line.level);
    CHECK(f.in(kIirFcr) == (iir::kFifosEnabled | iir::kTimeout));
    f.console.type("8");
    CHECK(f.in(kIirFcr) == (iir::kFifosEnabled | iir::kReceivedData));
    CHECK(f.receive_all() == "12345678");
    CHECK_FALSE(f.line.level);
    CHECK(f.in(kRbrThr) == 0);
}

TEST_CASE("without FIFOs one byte is taken at a time", "[serial]") {
    SerialFixture f;
    f.out(kIer, ier::kErbfi);
    f.console.type("ab");
    CHECK(f.console.input == "b");
    CHECK((f.in(kIirFcr)&iir::kIdMask) == iir::kReceivedData);
    CHECK(f.in(kRbrThr) == 'a');
    CHECK(f.console.wanted == 1);
    f.console.answer_wanted();
    CHECK(f.in(kRbrThr) == 'b');
    CHECK((f.in(kLsr)&lsr::kDataReady) == 0);
}

TEST_CASE("input that has no room waits outside and is asked for when the FIFO is empty", "[serial]") {
    SerialFixture f;
    f.out(kIirFcr, fcr::kEnable);
    const std::string text = "0123456789abcdefghijklmnopqrstuvwxyz!";
    f.console.type(text);
    CHECK(f.console.input.size() == text.size() - 16);
    std::string got;
    while (!f.console.input.empty() || (f.in(kLsr)&lsr::kDataReady) != 0) {
        CHECK(f.console.wanted == 0);
        got += f.receive_all();
        f.console.answer_wanted();
    }
    CHECK(got == text);
    CHECK((f.in(kLsr)&lsr::kOverrun) == 0);
}

TEST_CASE("a console that takes nothing holds the guest by THRE, and no byte is lost", "[serial]") {
    SerialFixture f;
    f.console.appetite = 2;
    f.out(kIirFcr, fcr::kEnable);
    f.out(kIer, ier::kEtbei);
    f.in(kIirFcr);
    std::string sent;
    const auto send_one = [&] {
        sent += static_cast<char>('a' + sent.size());
        f.out(kRbrThr, static_cast<unsigned char>(sent.back()));
    };
    send_one();
    send_one();
    CHECK(f.in(kLsr) == kIdle);
    send_one(); // waits in the shift register
    CHECK(f.in(kLsr) == lsr::kThre);
    for (int i = 0; i < 16; ++i)
        send_one();
    CHECK(f.in(kLsr) == 0);
    CHECK_FALSE(f.line.level);
    CHECK(f.console.output == "ab");
    f.console.take_more(5);
    CHECK(f.console.output == "abcdefg");
    CHECK(f.in(kLsr) == 0);
    f.console.take_more(100);
    CHECK(f.console.output == sent);
    CHECK(f.in(kLsr) == kIdle);
    CHECK(f.line.level);
}

TEST_CASE("without FIFOs the same with the holding register", "[serial]") {
    SerialFixture f;
    f.console.appetite = 0;
    f.send("a");
    CHECK(f.in(kLsr) == lsr::kThre);
    f.send("b");
    CHECK(f.in(kLsr) == 0);
    f.console.take_more(1);
    CHECK(f.in(kLsr) == lsr::kThre);
    f.console.take_more(1);
    CHECK(f.console.output == "ab");
    CHECK(f.in(kLsr) == kIdle);
}

TEST_CASE("a guest that ignores THRE loses its oldest bytes, and nothing grows", "[serial]") {
    SerialFixture f;
    f.console.appetite = 0;
    f.out(kIirFcr, fcr::kEnable);
    f.send("x0123456789abcdefghij"); // x is in the shift register
    f.console.take_more(1000);
    CHECK(f.console.output == "x456789abcdefghij");
}

TEST_CASE("resetting the FIFOs empties them, not the shift register", "[serial]") {
    SerialFixture f;
    f.out(kIirFcr, fcr::kEnable);
    f.console.type("input");
    f.console.appetite = 0;
    f.send("abc");
    f.out(kIirFcr, fcr::kEnable | fcr::kReceiverReset | fcr::kTransmitterReset);
    CHECK(f.in(kLsr) == lsr::kThre);
    f.console.take_more(100);
    CHECK(f.console.output == "a");
}

TEST_CASE("while paused nothing changes; resuming catches up", "[serial]") {
    SerialFixture f;
    f.out(kIirFcr, fcr::kEnable);
    f.out(kIer, ier::kErbfi);
    f.console.appetite = 0;
    f.send("ab");
    f.uart.pause();
    const auto before = f.uart.capture();
    f.console.type("in");
    f.console.take_more(100);
    CHECK(f.uart.capture() == before);
    CHECK(f.console.output.empty());
    CHECK(f.console.input == "in");
    f.uart.resume();
    CHECK(f.console.output == "ab");
    f.console.answer_wanted();
    CHECK(f.receive_all() == "in");
}

TEST_CASE("a new serial port is paused: input waits for a guest that runs", "[serial]") {
    FakeLine line;
    FakeConsole console;
    Serial uart{line, console};
    console.type("early");
    CHECK(console.input == "early");
    CHECK(uart.capture() == SerialState{});
    uart.resume();
    console.answer_wanted();
    CHECK(console.input == "arly");
}

TEST_CASE("flush empties the transmitter and the console, or says that it could not", "[serial]") {
    SerialFixture f;
    f.console.appetite = 0;
    f.out(kIirFcr, fcr::kEnable);
    f.send("abc");
    f.uart.pause();
    f.console.appetite_after_flush = 10;
    CHECK(f.uart.flush(std::chrono::seconds{5}).ok());
    CHECK(f.console.output == "abc");
    CHECK((f.uart.capture().lsr & lsr::kTemt) != 0);
    f.console.appetite = 0;
    f.send("d");
    CHECK_FALSE(f.uart.flush(std::chrono::milliseconds{0}).ok());
    f.console.flush_result = error(ErrorCode::System, "held");
    CHECK(f.uart.flush(std::chrono::seconds{5}).error().text == "serial: held");
}

TEST_CASE("reset returns to power-up and drops what was pending", "[serial]") {
    SerialFixture f;
    f.out(kIirFcr, fcr::kEnable);
    f.out(kIer, 0x0f);
    f.out(kScr, 5);
    f.console.type("abc");
    CHECK(f.line.level);
    f.uart.reset();
    CHECK_FALSE(f.line.level);
    CHECK(f.uart.capture() == SerialState{});
}

TEST_CASE("a serial port that goes leaves its console without callbacks", "[serial]") {
    FakeLine line;
    FakeConsole console;
    {
        const Serial uart{line, console};
        CHECK(console.connected());
    }
    CHECK_FALSE(console.connected());
}

} // namespace godwit
