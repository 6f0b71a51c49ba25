// SPDX-License-Identifier: Apache-2.0
//
// For tests: a board with a channel subsystem whose loop really runs, a guest that reaches it through the
// MMIO bus and guest memory as a driver would, and virtio devices of the core's tests on it.
#pragma once

#include "devices/virtio/core_fakes.h"
#include "transports/ccw/guest_form.h"
#include "transports/ccw/virtio_ccw.h"

#include <array>
#include <atomic>
#include <thread>
#include <vector>

namespace godwit::ccw::testing {

using virtio::must;

inline constexpr std::uint64_t kWindow = 0xfe80'0000;
inline constexpr std::uint32_t kIoGsi = 16;
inline constexpr std::uint32_t kAdapterGsi = 17;
inline constexpr std::uint64_t kRam = 1 << 20;

// Counts edges.
class FakeLines final : public InterruptController {
  public:
    Result<std::unique_ptr<IrqLine>> line(std::uint32_t gsi) override {
        return std::make_unique<Line>(edges.at(gsi));
    }
    Result<std::unique_ptr<MsiVector>> msi() override { return error(ErrorCode::Internal, "no messages"); }
    int io() const { return edges[kIoGsi]; }
    int adapter() const { return edges[kAdapterGsi]; }

  private:
    struct Line final : IrqLine {
        explicit Line(std::atomic<int>& counter) : count(counter) {}
        void set_level(bool high) override {
            if (high)
                ++count;
        }
        std::atomic<int>& count;
    };
    std::array<std::atomic<int>, 24> edges{};
};

class FakeBells final : public DoorbellRegistry {
  public:
    Result<std::unique_ptr<Doorbell>> add_mmio(Gpa address, std::uint32_t width,
                                               std::optional<std::uint64_t> match,
                                               const EventFd& event) override {
        if (refuse)
            return error(ErrorCode::System, "no more doorbells");
        return std::make_unique<Registration>(*this, Bell{address.value, width, match, &event});
    }
    // As KVM does when the guest writes there; false when it would exit instead.
    bool ring(std::uint64_t address, std::uint32_t width, std::uint64_t value) const {
        for (const Bell& bell : bells)
            if (bell.address == address && (bell.width == 0 || bell.width == width) &&
                bell.match.value_or(value) == value) {
                bell.event->signal();
                return true;
            }
        return false;
    }
    struct Bell {
        std::uint64_t address;
        std::uint32_t width;
        std::optional<std::uint64_t> match;
        const EventFd* event;
    };
    std::vector<Bell> bells; // while the loop is idle
    bool refuse = false;

  private:
    struct Registration final : Doorbell {
        Registration(FakeBells& registry, const Bell& bell) : owner(registry), mine(bell) {
            owner.bells.push_back(bell);
        }
        ~Registration() override {
            std::erase_if(owner.bells, [this](const Bell& b) {
                return b.event == mine.event && b.address == mine.address;
            });
        }
        FakeBells& owner;
        Bell mine;
    };
};

class Board {
  public:
    explicit Board(std::uint64_t ram = kRam) : memory(must(GuestMemory::create(ram, ram))) {
        css = must(ChannelSubsystem::create(*loop, mmio, *memory, lines, {kWindow, kIoGsi, kAdapterGsi}));
        thread = std::thread{[this] { loop->run(); }};
    }
    ~Board() {
        loop->quit();
        thread.join();
    }
    template <class F>
    auto on_loop(F&& work) {
        return loop->call(std::forward<F>(work));
    }

    std::unique_ptr<Loop> loop = must(Loop::create());
    std::unique_ptr<GuestMemory> memory;
    Bus mmio{"mmio"};
    FakeLines lines;
    FakeBells bells;
    std::unique_ptr<ChannelSubsystem> css;
    std::thread thread;
};

// A virtio device of the core's tests on a subchannel; goes before the board.
struct Plugged {
    explicit Plugged(Board& on, std::uint16_t devno = 1) : board(on) {
        board.on_loop([&] { transport = must(VirtioCcw::create(*board.css, core, board.bells, devno)); });
    }
    ~Plugged() {
        board.on_loop([&] {
            (void)core.pause();
            transport.reset();
        });
    }
    Board& board;
    virtio::FakeDevice device;
    virtio::Core core{device, *board.memory};
    std::unique_ptr<VirtioCcw> transport;
};

// Interruption response, as far as tests look at it.
struct Response {
    Outcome outcome;
    Scsw scsw;
    std::vector<std::byte> irb;
    bool pending() const { return (scsw.ctrl & kStatusPending) != 0; }
};

// A driver. Its memory: operation block, operands, programs, data, each in a place of its own.
class Guest {
  public:
    static constexpr std::uint64_t kBlock = 0x1000, kOrb = 0x1100, kSchib = 0x1200, kIrb = 0x1300,
                                   kCode = 0x1400;
    static constexpr std::uint32_t kProgram = 0x2000, kData = 0x4000;

    explicit Guest(Board& board) : board_(board) {}
    GuestMemory& memory() { return *board_.memory; }

    // ---- the window

    template <std::unsigned_integral T>
    T read(std::uint64_t offset) {
        std::array<std::byte, sizeof(T)> bytes{};
        board_.mmio.read(kWindow + offset, bytes);
        return load_le<T>(bytes);
    }
    template <std::unsigned_integral T>
    void write(std::uint64_t offset, T value) {
        std::array<std::byte, sizeof(T)> bytes{};
        store_le(std::span{bytes}, value);
        board_.mmio.write(kWindow + offset, bytes);
    }
    void open(std::uint8_t mask = 0xff) { write<std::uint32_t>(kRegIscMask, mask); }

    // ---- operations

    Outcome operate(std::uint32_t function, std::uint32_t id, std::uint64_t operand = 0) {
        ByteWriter block;
        block.be(function);
        block.be(id);
        block.be(operand);
        block.zeros(8);
        block.be(~std::uint32_t{0});
        block.zeros(12);
        must(memory().write(Gpa{kBlock}, block.bytes()));
        write(kRegOperation, kBlock);
        return static_cast<Outcome>(from_be(must(memory().read<std::uint32_t>(Gpa{kBlock + kBlockOutcome}))));
    }
    std::int64_t result() {
        return static_cast<std::int64_t>(
            from_be(must(memory().read<std::uint64_t>(Gpa{kBlock + kBlockResult}))));
    }
    Schib store(std::uint32_t id = kSchidOne) {
        must(operate(kStoreSubchannel, id, kSchib) == Outcome::Done
                 ? Status{}
                 : Status{error(ErrorCode::Internal, "no subchannel {:#x}", id)});
        std::array<std::byte, kSchibBytes> bytes;
        must(memory().read(Gpa{kSchib}, bytes));
        return from_guest<Schib>(bytes);
    }
    Outcome modify(const Schib& schib, std::uint32_t id = kSchidOne) {
        must(memory().write(Gpa{kSchib}, to_guest(schib)));
        return operate(kModifySubchannel, id, kSchib);
    }
    Outcome enable(std::uint32_t id = kSchidOne, std::uint8_t isc = 3, std::uint32_t chars = 0) {
        Schib schib = store(id);
        schib.pmcw.flags = static_cast<std::uint16_t>(kPmcwEnabled | isc << kPmcwIscShift);
        schib.pmcw.chars = chars;
        return modify(schib, id);
    }
    Outcome start(const Orb& orb, std::uint32_t id = kSchidOne) {
        must(memory().write(Gpa{kOrb}, to_guest(orb)));
        return operate(kStartSubchannel, id, kOrb);
    }
    Response test(std::uint32_t id = kSchidOne) {
        Response response{};
        response.outcome = operate(kTestSubchannel, id, kIrb);
        response.irb.resize(kIrbBytes);
        must(memory().read(Gpa{kIrb}, response.irb));
        response.scsw = from_guest<Scsw>(response.irb);
        return response;
    }
    // The subchannel that interrupts, if one does.
    std::optional<std::uint32_t> taken_interruption() {
        if (operate(kTestPendingInterruption, 0, kCode) != Outcome::Code1)
            return std::nullopt;
        return from_be(must(memory().read<std::uint32_t>(Gpa{kCode})));
    }

    // ---- programs

    static constexpr Orb orb(std::uint32_t program = kProgram) {
        return {.intparm = 0x1234, .ctrl0 = kOrbFormat1, .lpm = 0xff, .ctrl1 = 0, .cpa = program};
    }
    void place(std::span<const Ccw1> program, std::uint32_t at = kProgram) {
        for (const Ccw1& ccw : program) {
            must(memory().write(Gpa{at}, to_guest(ccw)));
            at += kCcwSize;
        }
    }
    // Runs a program and takes its status.
    Response run(const std::vector<Ccw1>& program, std::uint32_t id = kSchidOne) {
        place(program);
        must(start(orb(), id) == Outcome::Done ? Status{}
                                               : Status{error(ErrorCode::Internal, "start was refused")});
        return test(id);
    }
    Response command(std::uint8_t code, std::span<const std::byte> data, std::uint8_t flags = 0,
                     std::uint32_t id = kSchidOne) {
        must(memory().write(Gpa{kData}, data));
        return run({{code, flags, static_cast<std::uint16_t>(data.size()), kData}}, id);
    }
    // True when the device did it.
    bool does(std::uint8_t code, std::span<const std::byte> data, std::uint32_t id = kSchidOne) {
        const Response response = command(code, data, 0, id);
        return response.scsw.dstat == (kChannelEnd | kDeviceEnd) && response.scsw.cstat == 0;
    }
    std::vector<std::byte> data(std::size_t count) {
        std::vector<std::byte> bytes(count);
        must(memory().read(Gpa{kData}, bytes));
        return bytes;
    }

    // ---- virtio

    static std::vector<std::byte> revision(std::uint16_t number) {
        ByteWriter out;
        out.be(number);
        out.be(std::uint16_t{0});
        return out.take();
    }
    static std::vector<std::byte> features(std::uint8_t index, std::uint32_t word = 0) {
        ByteWriter out;
        out.le(word);
        out.be(index);
        return out.take();
    }
    static std::vector<std::byte> byte(std::uint8_t value) { return {std::byte{value}}; }
    static std::vector<std::byte> queue(std::uint16_t index, const virtio::FakeDriver& ring) {
        ByteWriter out;
        out.be(ring.addresses().desc.value);
        out.be(std::uint32_t{0});
        out.be(index);
        out.be(ring.size());
        out.be(ring.addresses().driver.value);
        out.be(ring.addresses().device.value);
        return out.take();
    }
    static std::vector<std::byte> legacy_queue(std::uint16_t index, std::uint64_t at, std::uint16_t size,
                                               std::uint32_t alignment = kLegacyAlignment) {
        ByteWriter out;
        out.be(at);
        out.be(alignment);
        out.be(index);
        out.be(size);
        return out.take();
    }
    static std::vector<std::byte> address(std::uint64_t at) {
        ByteWriter out;
        out.be(at);
        return out.take();
    }
    static std::vector<std::byte> thinint(std::uint64_t summary, std::uint64_t area, std::uint64_t bit,
                                          std::uint8_t isc) {
        ByteWriter out;
        out.be(summary);
        out.be(area);
        out.be(bit);
        out.be(isc);
        return out.take();
    }
    // Up to FEATURES_OK, with VIRTIO_F_VERSION_1. False when a step was refused.
    bool negotiate(std::uint16_t number = 1, std::uint32_t id = kSchidOne) {
        using namespace virtio;
        constexpr std::uint32_t kHigh = 1; // VIRTIO_F_VERSION_1
        return enable(id) == Outcome::Done && does(CCW_CMD_SET_VIRTIO_REV, revision(number), id) &&
               does(CCW_CMD_VDEV_RESET, {}, id) && does(CCW_CMD_WRITE_STATUS, byte(ACKNOWLEDGE), id) &&
               does(CCW_CMD_WRITE_STATUS, byte(ACKNOWLEDGE | DRIVER), id) &&
               does(CCW_CMD_WRITE_FEAT, features(0, 0), id) &&
               (number == 0 || (does(CCW_CMD_WRITE_FEAT, features(1, kHigh), id) &&
                                does(CCW_CMD_WRITE_STATUS, byte(ACKNOWLEDGE | DRIVER | FEATURES_OK), id)));
    }
    bool go(std::uint8_t more = virtio::FEATURES_OK, std::uint32_t id = kSchidOne) {
        using namespace virtio;
        return does(CCW_CMD_WRITE_STATUS,
                    byte(static_cast<std::uint8_t>(ACKNOWLEDGE | DRIVER | DRIVER_OK | more)), id);
    }

  private:
    Board& board_;
};

} // namespace godwit::ccw::testing
