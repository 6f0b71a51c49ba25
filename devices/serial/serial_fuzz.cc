// SPDX-License-Identifier: Apache-2.0
//
// A hostile driver of the serial port, with input and a console that takes more or less; and its state as it
// comes in a stream.
#include "devices/serial/serial_fakes.h"
#include "vmm/base/fuzz.h"

namespace {

using namespace godwit;

std::vector<std::byte> saved(SerialFixture& port) {
    SerialSection section{port.uart};
    StateWriter writer{"serial", 3};
    fuzz::require(section.save(writer).ok(), "any state can be saved");
    return {writer.bytes().begin(), writer.bytes().end()};
}

bool load(SerialFixture& port, std::span<const std::byte> bytes) {
    SerialSection section{port.uart};
    ByteReader in{bytes};
    StateReader reader{in, "serial"};
    return section.load(reader, 3).ok() && in.at_end() && section.commit_load().ok();
}

// What it says must be what another one says that was given its state.
void move(SerialFixture& port) {
    port.uart.pause();
    const auto bytes = saved(port);
    SerialFixture other;
    other.uart.pause();
    fuzz::require(load(other, bytes), "what was saved can be loaded");
    fuzz::require(saved(other) == bytes, "what was loaded is what was saved");
    port.uart.resume();
}

void change(SerialFixture& port, fuzz::Input& in) {
    port.uart.pause();
    auto bytes = saved(port);
    for (unsigned left = 1 + in.byte() % 4; left != 0; --left) {
        const std::size_t at = in.byte() % bytes.size();
        bytes[at] = std::byte{in.byte()};
    }
    if (load(port, bytes))
        fuzz::require(load(port, saved(port)), "what was taken can be given on");
    port.uart.resume();
}

void access(SerialFixture& port, fuzz::Input& in, std::uint64_t offset) {
    std::array<std::byte, 8> data{};
    const std::uint8_t how = in.byte();
    const auto part = std::span{data}.first(how % 9);
    if ((how & 0x80) != 0)
        return port.uart.read(offset, part);
    for (std::byte& byte : part)
        byte = std::byte{in.byte()};
    port.uart.write(offset, part);
}

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    const auto seed = [](std::initializer_list<unsigned> bytes) {
        Bytes out;
        for (const unsigned byte : bytes)
            out.push_back(static_cast<std::byte>(byte));
        return out;
    };
    return {
        // FIFOs on, interrupts on, output, input that is read, a move.
        {"fifos",
         seed({0x02, 0xc1, 0x01, 0x0f, 0x00, 65, 0x00, 66, 9, 3, 97, 98, 99, 0x10, 0x12, 0x15, 12, 10})},
        {"held", seed({11, 0, 0x02, 1, 0x00, 65, 0x00, 66, 0x00, 67, 12, 10, 11, 2, 12})},
        {"loop", seed({0x04, 0x1f, 0x00, 65, 0x10, 0x16, 0x03, 0x83, 0x00, 1, 0x01, 0, 0x03, 3, 12})},
        {"state", seed({9, 2, 97, 98, 13, 1, 4, 1, 60, 3, 14, 5, 1, 0x81, 15})},
    };
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input in{data, size};
    SerialFixture port;
    for (unsigned left = 400; left != 0 && !in.empty(); --left) {
        const std::uint8_t what = in.byte();
        const std::uint8_t action = what % 16;
        if (action < 8 && what < 0x80) {
            (what & 0x10) != 0 ? (void)port.in(action) : port.out(action, in.byte());
            continue;
        }
        switch (action) {
        case 9: {
            const std::size_t count = in.byte();
            port.console.type(fuzz::text_of(in.take(count)));
            break;
        }
        case 10:
            port.console.answer_wanted();
            break;
        case 11:
            port.console.take_more(in.byte());
            break;
        case 12:
            move(port);
            break;
        case 13:
            change(port, in);
            break;
        case 14:
            access(port, in, in.byte() % 16);
            break;
        case 15:
            port.uart.reset();
            break;
        default:
            (void)port.uart.flush(std::chrono::milliseconds{0});
        }
    }
    return 0;
}
