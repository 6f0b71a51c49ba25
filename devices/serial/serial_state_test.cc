// SPDX-License-Identifier: Apache-2.0
#include "devices/serial/serial_fakes.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <functional>

namespace godwit {

using namespace uart;

namespace {

std::vector<std::byte> saved(const SerialState& state) {
    StateWriter writer{"serial", 3};
    writer.fields(SerialSectionState{state});
    return {writer.bytes().begin(), writer.bytes().end()};
}

std::vector<std::byte> saved(Serial& serial) {
    SerialSection section{serial};
    StateWriter writer{"serial", 3};
    REQUIRE(section.save(writer).ok());
    return {writer.bytes().begin(), writer.bytes().end()};
}

Status load(std::span<const std::byte> bytes, Serial& serial) {
    SerialSection section{serial};
    ByteReader in{bytes};
    StateReader reader{in, "serial"};
    TRY(section.load(reader, 3));
    if (!in.at_end())
        return corrupt("{} bytes left", in.remaining());
    return section.commit_load();
}

// Situations that reach every part of the state that we send.
const std::vector<std::pair<const char*, std::function<void(SerialFixture&)>>>& situations() {
    static const std::vector<std::pair<const char*, std::function<void(SerialFixture&)>>> all{
        {"after power-up", [](SerialFixture&) {}},
        {"registers set",
         [](SerialFixture& f) {
             f.out(kLcr, 0x83);
             f.out(kRbrThr, 1);
             f.out(kLcr, 0x03);
             f.out(kIer, 0x0d);
             f.out(kMcr, 0x0b);
             f.out(kScr, 0x99);
         }},
        {"input in the FIFO",
         [](SerialFixture& f) {
             f.out(kIirFcr, 0xc1);
             f.out(kIer, ier::kErbfi);
             f.console.type("12345");
             f.in(kRbrThr);
         }},
        {"input without FIFO", [](SerialFixture& f) { f.console.type("1"); }},
        {"output held back",
         [](SerialFixture& f) {
             f.out(kIirFcr, 0x01);
             f.console.appetite = 0;
             f.send("abcdef");
         }},
        {"output held back, without FIFO",
         [](SerialFixture& f) {
             f.console.appetite = 0;
             f.send("ab");
         }},
        {"transmitter interrupt behind a receiver interrupt",
         [](SerialFixture& f) {
             f.out(kIer, ier::kErbfi | ier::kEtbei);
             f.console.type("1");
         }},
    };
    return all;
}

} // namespace

TEST_CASE("the state after power-up has QEMU's bytes", "[serial]") {
    SerialFixture f;
    const std::array<unsigned char, 11> expected{0, 12, 0, 0, 1, 0, 8, 0x60, 0xb0, 0, 0};
    const auto bytes = saved(f.uart);
    REQUIRE(bytes.size() == expected.size());
    CHECK(std::memcmp(bytes.data(), expected.data(), expected.size()) == 0);
}

TEST_CASE("save, load, save gives equal bytes", "[serial][contract]") {
    for (const auto& [what, reach] : situations()) {
        INFO(what);
        SerialFixture from, to;
        reach(from);
        from.uart.pause();
        const auto bytes = saved(from.uart);
        REQUIRE(load(bytes, to.uart).ok());
        CHECK(saved(to.uart) == bytes);
        CHECK(from.in(kIirFcr) == to.in(kIirFcr));
    }
}

TEST_CASE("every truncation is refused, or is a whole state without its last subsections",
          "[serial][contract]") {
    for (const auto& [what, reach] : situations()) {
        INFO(what);
        SerialFixture from;
        reach(from);
        const auto bytes = saved(from.uart);
        for (std::size_t length = 0; length < bytes.size(); ++length) {
            SerialFixture to;
            const bool at_subsection = length >= 11 && bytes[length] == std::byte{kSubsectionMark};
            if (load(std::span{bytes}.first(length), to.uart).ok())
                CHECK(at_subsection);
        }
    }
}

TEST_CASE("each field is in the stream", "[serial][contract]") {
    const auto base = saved(SerialState{});
    const std::vector<std::function<void(SerialState&)>> changes{
        [](auto& s) { ++s.divider; },
        [](auto& s) { ++s.rbr; },
        [](auto& s) { ++s.ier; },
        [](auto& s) { ++s.iir; },
        [](auto& s) { ++s.lcr; },
        [](auto& s) { ++s.mcr; },
        [](auto& s) { ++s.lsr; },
        [](auto& s) { ++s.msr; },
        [](auto& s) { ++s.scr; },
        [](auto& s) { ++s.fcr; },
        [](auto& s) { s.thr_pending = SerialThrPending{}; },
        [](auto& s) { s.thr_pending = SerialThrPending{1}; },
        [](auto& s) { s.transmitting = SerialTsr{}; },
        [](auto& s) {
            s.transmitting = SerialTsr{1, 0, 0};
        },
        [](auto& s) {
            s.transmitting = SerialTsr{0, 1, 0};
        },
        [](auto& s) {
            s.transmitting = SerialTsr{0, 0, 1};
        },
        [](auto& s) { s.receive_fifo = SerialReceiveFifo{}; },
        [](auto& s) {
            s.receive_fifo = SerialReceiveFifo{{{}, 1, 0}};
        },
        [](auto& s) {
            s.receive_fifo = SerialReceiveFifo{{{}, 0, 1}};
        },
        [](auto& s) {
            s.receive_fifo = SerialReceiveFifo{{{std::byte{1}}, 0, 0}};
        },
        [](auto& s) { s.transmit_fifo = SerialTransmitFifo{}; },
        [](auto& s) {
            s.transmit_fifo = SerialTransmitFifo{{{}, 1, 0}};
        },
        [](auto& s) { s.timeout_timer = SerialTimeoutTimer{}; },
        [](auto& s) { s.timeout_timer = SerialTimeoutTimer{1}; },
        [](auto& s) { s.timeout_pending = SerialTimeoutPending{}; },
        [](auto& s) { s.timeout_pending = SerialTimeoutPending{1}; },
        [](auto& s) { s.poll = SerialPoll{}; },
        [](auto& s) {
            s.poll = SerialPoll{1, 0};
        },
        [](auto& s) {
            s.poll = SerialPoll{0, 1};
        },
    };
    std::vector<std::vector<std::byte>> seen{base};
    for (const auto& change : changes) {
        SerialState state;
        change(state);
        const auto bytes = saved(state);
        CHECK(std::find(seen.begin(), seen.end(), bytes) == seen.end());
        // What can be read back is read back equal.
        SerialSectionState back;
        ByteReader in{bytes};
        StateReader reader{in, "serial"};
        if (reader.fields(back).ok())
            CHECK(back.state == state);
        seen.push_back(bytes);
    }
}

TEST_CASE("output that was held back leaves once, at the destination, when it runs", "[serial]") {
    SerialFixture from, to;
    from.console.appetite = 0;
    from.out(kIirFcr, 0x01);
    from.send("abcdef");
    from.uart.pause();
    REQUIRE(load(saved(from.uart), to.uart).ok());
    CHECK(to.console.output.empty()); // the source may still come back
    to.console.type("x");
    CHECK(to.console.input == "x");
    to.uart.resume();
    CHECK(to.console.output == "abcdef");
    CHECK(to.in(kLsr) == 0x60);
    to.console.answer_wanted();
    CHECK(to.receive_all() == "x");
    CHECK(from.console.output.empty());
}

TEST_CASE("an interrupt that was pending is raised again on resuming", "[serial]") {
    SerialFixture from, to;
    from.out(kIer, ier::kErbfi);
    from.console.type("1");
    CHECK(from.line.level);
    from.uart.pause();
    REQUIRE(load(saved(from.uart), to.uart).ok());
    CHECK_FALSE(to.line.level);
    to.uart.resume();
    CHECK(to.line.level);
    CHECK(to.in(kRbrThr) == '1');
    CHECK_FALSE(to.line.level);
}

TEST_CASE("hostile states are refused by name, ring positions too (CVE-2017-16845)", "[serial]") {
    const auto refused = [](auto change) {
        SerialState state;
        change(state);
        SerialFixture f;
        const auto status = load(saved(state), f.uart);
        CHECK(f.uart.capture() == SerialState{});
        return status.ok() ? std::string{"accepted"} : status.error().text;
    };
    CHECK(refused([](auto& s) { s.lsr = 0x20; }).find("serial.state: lsr is 0x20") == 0);
    CHECK(refused([](auto& s) {
              s.transmitting = SerialTsr{1, 0, 0};
          }).find("a byte waits") != std::string::npos);
    CHECK(refused([](auto& s) {
              s.receive_fifo = SerialReceiveFifo{{{}, 16, 1}};
          }).find("head is 16") != std::string::npos);
    CHECK(refused([](auto& s) {
              s.receive_fifo = SerialReceiveFifo{{{}, 0, 17}};
          }).find("17 bytes") != std::string::npos);
    CHECK(refused([](auto& s) {
              s.transmit_fifo = SerialTransmitFifo{{{}, 0xffffffff, 0}};
          }).find("head is 4294967295") != std::string::npos);
}

TEST_CASE("what contradicts itself harmlessly is put right", "[serial]") {
    SerialState state;
    state.ier = 0xff;
    state.mcr = 0xff;
    state.fcr = 0xff;
    state.iir = 0xff;
    state.lsr = 0x41; // neither THRE nor a byte; DR without a byte
    state.receive_fifo = SerialReceiveFifo{{{}, 15, 0}};
    state.poll = SerialPoll{1, 2};
    state.timeout_timer = SerialTimeoutTimer{3};
    SerialFixture f;
    REQUIRE(load(saved(state), f.uart).ok());
    const auto now = f.uart.capture();
    CHECK(now.ier == 0x0f);
    CHECK(now.mcr == 0x1f);
    CHECK(now.fcr == fcr::kMask);
    CHECK(now.lsr == 0x60);
    CHECK_FALSE(now.poll.has_value());
    CHECK(Schema<SerialState>::validate(now).ok());
}

TEST_CASE("bytes in the FIFO that nobody was sending are sent", "[serial]") {
    SerialState state;
    state.fcr = 1;
    Fifo8 fifo{{}, 15, 0};
    fifo.push(std::byte{'o'});
    fifo.push(std::byte{'k'});
    state.transmit_fifo = SerialTransmitFifo{fifo};
    SerialFixture f;
    REQUIRE(load(saved(state), f.uart).ok());
    CHECK(Schema<SerialState>::validate(f.uart.capture()).ok());
    f.uart.resume();
    CHECK(f.console.output == "ok");
}

} // namespace godwit
