// SPDX-License-Identifier: Apache-2.0
//
// A hostile driver of each virtio device: chains of every shape in split rings and indirect tables, requests,
// frames, commands, configuration, resets and pauses in any order. The first byte chooses the device.
#include "devices/virtio/fuzz_devices.h"

namespace {

using namespace godwit;
using namespace godwit::virtio;
using namespace godwit::virtio::test;

constexpr unsigned kMostActions = 200;

class Driver {
  public:
    Driver(FuzzMachine& machine, fuzz::Input& in) : machine_(machine), core_(*machine.core), in_(in) {}

    void act() {
        const std::uint8_t what = in_.byte();
        const auto queue = static_cast<std::uint16_t>((what >> 4) % core_.queue_count());
        FakeDriver& driver = machine_.drivers[queue];
        switch (what & 0x0f) {
        case 0:
            return offer(driver, any_chain(driver));
        case 1:
            return fill();
        case 2:
            return disk_request(driver);
        case 3:
            return command();
        case 4:
            return frame();
        case 5:
            return core_.queue_notified(queue);
        case 6:
            return machine_.turn();
        case 7:
            return core_.set_status(in_.byte());
        case 8:
            return in_.byte() % 2 == 0 ? core_.reset_queue(queue) : core_.give_up_queue(queue);
        case 9:
            return ring_bytes(driver);
        case 10:
            return config();
        case 11:
            return arrive();
        case 12:
            return pause();
        case 13:
            return machine_.go_live(in_.byte() % 2 == 0 ? core_.offered_features()
                                                        : in_.number<std::uint64_t>());
        case 14:
            return core_.set_disabled(in_.byte() % 2 == 0);
        default:
            return set_up(queue);
        }
    }

  private:
    // Mostly buffers, now and then anything.
    Gpa address() {
        const std::uint8_t choice = in_.byte();
        return choice < 240 ? Gpa{kFreeRam.value + choice * 0x100u} : Gpa{in_.number<std::uint64_t>()};
    }
    std::uint32_t length() {
        const std::uint8_t choice = in_.byte();
        return choice < 128 ? choice : choice < 250 ? (choice - 128u) * 512 : in_.number<std::uint32_t>();
    }
    FakeDriver::ChainBuilder any_chain(FakeDriver& driver) {
        auto chain = driver.chain();
        for (unsigned left = 1 + in_.byte() % 6; left != 0; --left) {
            virtq_desc desc{address().value, length(), 0, 0};
            const std::uint8_t flags = in_.byte();
            desc.flags = flags < 250 ? flags & VIRTQ_DESC_F_WRITE : in_.word();
            chain.add(desc);
        }
        return chain;
    }
    void offer(FakeDriver&, FakeDriver::ChainBuilder chain) {
        const std::uint8_t how = in_.byte();
        if (how % 4 == 0)
            chain.offer_indirect(Gpa{kFreeRam.value + 0x20000});
        else
            chain.offer();
    }
    void fill() {
        const Gpa at{kFreeRam.value + in_.byte() * 0x100u};
        const auto bytes = in_.take(in_.byte());
        must(machine_.memory->write(at, bytes));
    }
    void disk_request(FakeDriver& driver) {
        static constexpr std::uint32_t kTypes[] = {VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,
                                                   VIRTIO_BLK_T_FLUSH,   VIRTIO_BLK_T_GET_ID,
                                                   VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES};
        const std::uint8_t type = in_.byte();
        const std::uint8_t sector = in_.byte();
        const virtio_blk_req_header header{type < 240 ? kTypes[type % std::size(kTypes)]
                                                      : in_.number<std::uint32_t>(),
                                           0, sector < 240 ? sector % 80 : in_.number<std::uint64_t>()};
        const Gpa at{kFreeRam.value + in_.byte() * 0x100u};
        must(machine_.memory->write(at, header));
        auto chain = driver.chain();
        chain.readable(at, 16);
        for (unsigned left = in_.byte() % 4; left != 0; --left)
            if (header.type == VIRTIO_BLK_T_IN || header.type == VIRTIO_BLK_T_GET_ID)
                chain.writable(address(), length());
            else
                chain.readable(address(), length());
        offer(driver, chain.writable(address(), 1));
    }
    void command() {
        if (machine_.kind() != Kind::Net)
            return;
        FakeDriver& driver = machine_.drivers[kNetControlQueue];
        const Gpa at{kFreeRam.value + 0x8000};
        const auto bytes = in_.take(in_.byte() % 64);
        must(machine_.memory->write(at, bytes));
        auto chain = driver.chain();
        const auto split = static_cast<std::uint32_t>(in_.byte() % (bytes.size() + 1));
        chain.readable(at, split);
        chain.readable(Gpa{at.value + split}, static_cast<std::uint32_t>(bytes.size()) - split);
        offer(driver, chain.writable(address(), 1));
        core_.queue_notified(kNetControlQueue);
    }
    void frame() {
        if (machine_.kind() != Kind::Net)
            return;
        FakeDriver& driver = machine_.drivers[kNetTransmitQueue];
        virtio_net_hdr header{};
        const auto bytes = in_.take(sizeof header);
        std::memcpy(&header, bytes.data(), bytes.size());
        const Gpa at{kFreeRam.value + 0x9000};
        must(machine_.memory->write(at, header));
        auto chain = driver.chain();
        chain.readable(at, in_.byte() % 8 == 0 ? kNetHeaderShort : kNetHeaderFull);
        chain.readable(address(), length());
        offer(driver, chain);
        core_.queue_notified(kNetTransmitQueue);
    }
    void arrive() {
        if (machine_.kind() != Kind::Net)
            return;
        const auto bytes = in_.take(in_.byte());
        const std::size_t size = bytes.size() + in_.byte() * 16u;
        std::vector<std::byte> whole(std::max<std::size_t>(size, 1));
        std::copy(bytes.begin(), bytes.end(), whole.begin());
        (void)!::send(machine_.wire.peer.get(), whole.data(), whole.size(), MSG_DONTWAIT);
        machine_.turn();
    }
    void ring_bytes(FakeDriver& driver) {
        const std::uint64_t at = driver.addresses().desc.value + in_.word() % 0x1000;
        must(machine_.memory->write(Gpa{at}, in_.word()));
    }
    void config() {
        std::array<std::byte, 8> bytes{};
        const std::uint8_t offset = in_.byte();
        const auto width = std::span{bytes}.first(in_.byte() % 9);
        core_.read_config(offset, width);
        for (std::byte& byte : width)
            byte = std::byte{in_.byte()};
        core_.write_config(offset, width);
        (void)core_.take_isr();
    }
    void pause() {
        if (!core_.pause().ok())
            return;
        const auto saved = machine_.save();
        const Status loaded = machine_.load(saved);
        fuzz::require(loaded.ok(), loaded.ok() ? "" : loaded.error().text);
        core_.discard_load();
        (void)core_.resume();
    }
    void set_up(std::uint16_t queue) {
        core_.set_queue_size(queue, in_.word());
        core_.set_queue_addresses(queue, {address(), address(), address()});
        core_.enable_queue(queue);
        core_.set_queue_select(in_.word() % VIRTIO_QUEUE_MAX); // as transports keep it
        core_.set_driver_features(in_.number<std::uint64_t>());
    }

    FuzzMachine& machine_;
    Core& core_;
    fuzz::Input& in_;
};

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    const auto seed = [](Kind kind, std::initializer_list<unsigned> bytes) {
        Bytes out{static_cast<std::byte>(kind)};
        for (const unsigned byte : bytes)
            out.push_back(static_cast<std::byte>(byte));
        return out;
    };
    return {
        // Two buffers, one of them indirect; doorbell, turn, pause.
        {"fake", seed(Kind::Fake, {0, 0, 1, 64, 2, 1, 0x10, 1, 2, 10, 0, 3, 20, 2, 0, 5, 0x15, 6, 12})},
        // Write and read of sector 1, a flush, the serial number, a discard.
        {"blk", seed(Kind::Blk, {2, 1, 1, 2, 1, 3, 129, 0, 1, 2,  0, 1, 2,  1, 3, 129, 0, 1, 2,
                                 2, 0, 2, 0, 0, 1, 2,   3, 0, 2,  1, 3, 20, 0, 1, 1,   8, 4, 1,
                                 0, 0, 0, 2, 4, 0, 2,   1, 8, 16, 0, 1, 5,  6, 6, 12,  5})},
        // A receive buffer, a frame there and one away, promiscuous mode, an address, offloads.
        {"net", seed(Kind::Net,
                     {0, 0,  1, 131, 2, 1, 5, 11, 14, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0,  0, 0, 0,   1,
                      8, 0,  4, 4,   0, 0, 0, 0,  0,  0,    0,    0,    0,    0,    0,    0, 0,  1, 2, 100, 1,
                      3, 3,  0, 0,   1, 2, 9, 1,  3,  8,    1,    1,    0x52, 0x54, 0,    7, 7,  7, 2, 9,   1,
                      3, 10, 5, 0,   2, 0, 0, 0,  0,  0,    0,    0,    2,    9,    1,    6, 12, 6})},
        {"rng", seed(Kind::Rng, {0, 0, 1, 64, 2, 1, 5, 6, 12, 6, 8, 1, 15, 8, 0, 1, 2, 3, 0, 0})},
    };
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input in{data, size};
    FuzzMachine machine{static_cast<Kind>(in.byte() % kKinds)};
    machine.transport.legacy_allowed = true;
    machine.go_live(machine.core->offered_features());
    Driver driver{machine, in};
    for (unsigned left = kMostActions; left != 0 && !in.empty(); --left)
        driver.act();
    fuzz::require(machine.core->pause().ok(), "a device can be stopped whatever its driver did");
    return 0;
}
