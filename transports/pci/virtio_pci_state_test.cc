// SPDX-License-Identifier: Apache-2.0
//
// The transport's state inside a virtio device's section: sizes, a round trip into another machine, and bytes
// that nobody should trust.
#include "transports/pci/driver_support.h"

#include <catch2/catch.hpp>

namespace godwit::pci::virtio_pci_state_test {
namespace {

using namespace testing;
using virtio::FakeDriver;

constexpr std::uint64_t kFeatures = virtio::feature(virtio::VIRTIO_F_VERSION_1);
constexpr std::size_t kConfigAt = 4;    // of configuration space in the section
constexpr std::size_t kIrqAt = 4 + 256; // four be32
constexpr std::size_t kTableAt = 276;   // MSI-X table: 3 vectors
constexpr std::size_t kPendingAt = kTableAt + 48;
constexpr std::size_t kVectorAt = kPendingAt + 1;
constexpr std::size_t kConfigEnd = kVectorAt + 2;

using Bytes = std::vector<std::byte>;

struct Machine {
    // A driver at work on queue 0, with MSI-X or without, paused in the end.
    void work(bool msix) {
        driver.enable();
        if (msix) {
            driver.enable_msix();
            driver.open_vector(0);
            driver.open_vector(1);
        }
        driver.negotiate(kFeatures);
        if (msix)
            driver.set(CommonField::config_msix_vector, std::uint16_t{0});
        driver.set_up_queue(0, ring, msix ? 1 : VIRTIO_MSI_NO_VECTOR);
        driver.go();
        offer();
        board.write(driver.doorbell(0), std::uint16_t{0});
        REQUIRE(ring.take_used().has_value());
        driver.set(CommonField::queue_select, std::uint16_t{1});
        driver.set(CommonField::device_feature_select, std::uint32_t{1});
        board.on_loop([&] { must(plugged.core.pause()); });
    }
    void offer() { ring.chain().writable(Gpa{0x8000}, 16).offer(); }
    void take_memory_of(const Machine& other) {
        std::memcpy(board.memory->host(RamOffset{}), other.board.memory->host(RamOffset{}),
                    board.memory->size());
        // The driver goes on where it was.
        ring.start_at(other.ring.avail_index());
    }

    Bytes save() {
        return board.on_loop([&] {
            StateWriter writer{"virtio-echo", 1};
            must(plugged.core.save(writer));
            return Bytes{writer.bytes().begin(), writer.bytes().end()};
        });
    }
    Status parse(std::span<const std::byte> bytes) {
        return board.on_loop([&]() -> Status {
            ByteReader in{bytes};
            StateReader reader{in, "virtio-echo"};
            TRY(plugged.core.load(reader, 1));
            if (!in.at_end())
                return corrupt("{} bytes left", in.remaining());
            return {};
        });
    }
    void discard() {
        board.on_loop([&] { plugged.core.discard_load(); });
    }
    void commit() {
        board.on_loop([&] { must(plugged.core.commit_load()); });
    }
    void resume() {
        board.on_loop([&] { must(plugged.core.resume()); });
    }
    const FakeInterrupts::Vector& vector(std::size_t i) const { return *board.interrupts.vectors[i]; }

    Board board;
    Plugged plugged{board};
    PciDriver driver{board};
    FakeDriver ring{*board.memory, 16, Gpa{0x1000}};
};

std::size_t find(const Bytes& bytes, std::string_view text) {
    const auto at = std::search(bytes.begin(), bytes.end(), text.begin(), text.end(),
                                [](std::byte a, char b) { return static_cast<char>(a) == b; });
    REQUIRE(at != bytes.end());
    return static_cast<std::size_t>(at - bytes.begin());
}

} // namespace

TEST_CASE("the parts of the section have the sizes of the format", "[pci]") {
    Board board;
    EchoDevice device{virtio::kDeviceBlock, {256, 256, 256, 256, 256, 256, 256, 256, 256}}; // 10 vectors
    virtio::Core core{device, *board.memory};
    board.on_loop([&] {
        const auto pci = must(VirtioPci::create(*board.host, core, board.interrupts, board.doorbells));
        const auto size = [&](auto&& save) {
            StateWriter writer{"virtio", 1};
            must(save(writer));
            return writer.bytes().size();
        };
        CHECK(size([&](StateWriter& w) { return pci->save_config(w); }) == 276 + 16 * 10 + 2 + 2);
        CHECK(size([&](StateWriter& w) { return pci->save_queue(w, 8); }) == 2);
        // 29 bytes of header; the 24 of "virtio/extra_state" around it are the core's.
        CHECK(size([&](StateWriter& w) { return pci->save_extra_state(w); }) == 29 + 28688);
        StateWriter writer{"virtio", 1};
        must(core.save(writer));
        const Bytes all{writer.bytes().begin(), writer.bytes().end()};
        CHECK(all.size() - find(all, "virtio/extra_state") + 2 == 28741);
    });
}

TEST_CASE("the description names what is in the section", "[pci]") {
    Machine m;
    m.board.on_loop([&] {
        StateWriter writer{"virtio", 1};
        must(m.plugged.pci->save_config(writer));
        const auto& record = writer.description();
        REQUIRE(record.fields.size() == 4);
        CHECK(record.fields[0].size == 276);
        REQUIRE(record.fields[0].structure.size() == 1);
        CHECK(record.fields[0].structure[0].name == "PCIDevice");
        CHECK(record.fields[0].structure[0].fields[1].name == "config");
        CHECK(record.fields[0].structure[0].fields.size() == 6);
        CHECK(record.fields[1].name == "msix_table");
        CHECK(record.fields[2].name == "msix_pba");
        CHECK(record.fields[3].name == "config_vector");

        StateWriter extra{"virtio/extra_state", 1};
        must(m.plugged.pci->save_extra_state(extra));
        const auto& modern = extra.description().fields.at(0).structure.at(0).subsections.at(0);
        CHECK(modern.name == "virtio_pci/modern_state");
        std::size_t total = 0;
        for (const auto& field : modern.fields)
            total += field.size;
        CHECK(total == 28688);
        CHECK(modern.fields.size() < 10);
    });
}

TEST_CASE("a device goes on in another machine", "[pci]") {
    const bool msix = GENERATE(false, true);
    Machine source;
    source.work(msix);
    const Bytes bytes = source.save();
    CHECK((bytes[kConfigAt + PCI_STATUS] & std::byte{PCI_STATUS_INTERRUPT}) == std::byte{0});

    Machine target;
    target.take_memory_of(source);
    REQUIRE(target.parse(bytes).ok());
    CHECK(target.driver.config_read<std::uint16_t>(PCI_COMMAND) == 0); // not before the commit
    target.commit();
    CHECK(target.save() == bytes);

    CHECK(target.board.interrupts.level(13) == !msix);
    CHECK(target.driver.get<std::uint16_t>(CommonField::queue_select) == 1);
    CHECK(target.driver.get<std::uint32_t>(CommonField::device_feature_select) == 1);
    target.driver.set(CommonField::queue_select, std::uint16_t{0});
    CHECK(target.driver.get<std::uint16_t>(CommonField::queue_enable) == 1);
    CHECK(target.driver.get<std::uint16_t>(CommonField::queue_size) == 16);
    CHECK(target.driver.get<std::uint64_t>(CommonField::queue_device) ==
          target.ring.addresses().device.value);
    CHECK(target.driver.get<std::uint16_t>(CommonField::queue_msix_vector) ==
          (msix ? 1 : VIRTIO_MSI_NO_VECTOR));

    CHECK(target.board.doorbells.bells.empty());
    target.resume();
    CHECK(target.board.doorbells.bells.count(target.driver.doorbell(0)) == 1);
    if (msix) {
        CHECK(target.vector(1).routes == 1);
        CHECK(target.vector(1).data == 0x41);
    } else {
        CHECK(target.driver.isr() == virtio::kIsrQueue);
        CHECK_FALSE(target.board.interrupts.level(13));
    }
    const int before = target.vector(1).triggers;
    target.offer();
    target.board.write(target.driver.doorbell(0), std::uint16_t{0});
    CHECK(target.ring.take_used().has_value());
    CHECK(target.vector(1).triggers == before + (msix ? 1 : 0));
    CHECK(target.board.interrupts.level(13) == !msix);
}

TEST_CASE("a message that pends behind a mask goes out in the other machine", "[pci]") {
    Machine source;
    source.work(true);
    source.board.write(source.driver.msix_at() + 16 + 12, std::uint32_t{1});
    source.offer();
    source.resume();
    source.board.on_loop([&] { must(source.plugged.core.pause()); });
    CHECK(source.board.read<std::uint32_t>(source.driver.msix_at() + Msix::kPendingOffset) == 2);

    Machine target;
    target.take_memory_of(source);
    REQUIRE(target.parse(source.save()).ok());
    target.commit();
    CHECK(target.vector(1).triggers == 0);
    target.board.write(target.driver.msix_at() + 16 + 12, std::uint32_t{0});
    CHECK(target.vector(1).triggers == 1);
}

TEST_CASE("a state without the registers takes them from the queues", "[pci]") {
    Machine source;
    source.work(true);
    Bytes bytes = source.save();
    // "virtio/extra_state" stays, "virtio_pci/modern_state" inside goes.
    const std::size_t at = find(bytes, "virtio_pci/modern_state") - 2;
    bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                bytes.begin() + static_cast<std::ptrdiff_t>(at + 29 + 28688));
    Machine target;
    target.take_memory_of(source);
    REQUIRE(target.parse(bytes).ok());
    target.commit();
    target.driver.set(CommonField::queue_select, std::uint16_t{0});
    CHECK(target.driver.get<std::uint16_t>(CommonField::queue_enable) == 1);
    CHECK(target.driver.get<std::uint64_t>(CommonField::queue_desc) == source.ring.addresses().desc.value);
    target.driver.set(CommonField::driver_feature_select, std::uint32_t{1});
    CHECK(target.driver.get<std::uint32_t>(CommonField::driver_feature) == kFeatures >> 32);
}

TEST_CASE("a load that is given up changes nothing", "[pci]") {
    Machine source;
    source.work(true);
    Machine target;
    const Bytes untouched = target.save();
    target.take_memory_of(source);
    REQUIRE(target.parse(source.save()).ok());
    target.discard();
    target.commit();
    CHECK(target.save() == untouched);
}

TEST_CASE("every truncation is refused", "[pci]") {
    Machine source;
    source.work(true);
    const Bytes bytes = source.save();
    Machine target;
    target.take_memory_of(source);
    const std::size_t extra = find(bytes, "virtio_pci/modern_state") - 2;
    for (std::size_t length = 0; length < kConfigEnd + 100; ++length)
        REQUIRE_FALSE(target.parse(std::span{bytes}.first(length)).ok());
    // In steps that meet every byte of an entry. The end of a subsection is where the next one may begin.
    for (std::size_t length = extra + 1; length < extra + 29 + 28688; length += 13) {
        INFO(length);
        REQUIRE_FALSE(target.parse(std::span{bytes}.first(length)).ok());
    }
}

TEST_CASE("flipped bits are refused or harmless", "[pci]") {
    Machine source;
    source.work(true);
    const Bytes good = source.save();
    Machine target;
    target.take_memory_of(source);
    std::size_t refused = 0;
    const auto attempt = [&](std::size_t byte, unsigned bit) {
        Bytes bad = good;
        bad[byte] ^= std::byte{1} << bit;
        if (!target.parse(bad).ok()) {
            ++refused;
            target.discard();
            return false;
        }
        target.commit();
        // Whatever was loaded can be used, and saved for the next machine.
        (void)target.driver.get<std::uint16_t>(CommonField::num_queues);
        (void)target.board.read<std::uint32_t>(target.driver.msix_at());
        REQUIRE(target.parse(target.save()).ok());
        target.discard();
        return true;
    };
    for (std::size_t byte = 0; byte < kConfigEnd; ++byte)
        for (unsigned bit = 0; bit < 8; ++bit)
            (void)attempt(byte, bit);
    CHECK(refused > 900);
    for (const std::size_t fixed : {0x00, 0x02, 0x08, 0x0b, 0x34, 0x40, 0x4b, 0x7f, 0x98, 0x9c, 0xa1})
        CHECK_FALSE(attempt(kConfigAt + fixed, 0));
    CHECK(attempt(kConfigAt + PCI_INTERRUPT_LINE, 0));
    CHECK_FALSE(attempt(kConfigAt + PCI_BASE_ADDRESS_0 + 4 * kModernBar, 2)); // no longer 64 bits
    CHECK_FALSE(attempt(kConfigAt + PCI_BASE_ADDRESS_0 + 4 * kMsixBar, 4));   // smaller than it is
    CHECK(attempt(kConfigAt + PCI_BASE_ADDRESS_0 + 4 * kMsixBar + 2, 4));     // elsewhere

    // The good one still loads.
    REQUIRE(target.parse(good).ok());
    target.commit();
    CHECK(target.save() == good);
}

TEST_CASE("hostile values are named", "[pci]") {
    Machine source;
    source.work(true);
    Bytes bytes = source.save();
    Machine target;
    target.take_memory_of(source);
    const auto refusal = [&] {
        const Status status = target.parse(bytes);
        REQUIRE_FALSE(status.ok());
        return status.error().text;
    };
    const std::size_t modern = find(bytes, "virtio_pci/modern_state");
    SECTION("a record version") {
        bytes[3] = std::byte{3};
        CHECK_THAT(refusal(), Catch::Contains("version 3"));
    }
    SECTION("version 1 is known") {
        bytes[3] = std::byte{1};
        CHECK(target.parse(bytes).ok());
    }
    SECTION("another device") {
        bytes[kConfigAt + PCI_DEVICE_ID] = std::byte{0x41};
        CHECK_THAT(refusal(),
                   Catch::Contains("device id") && Catch::Contains("0x41") && Catch::Contains("0x42"));
    }
    SECTION("another number of vectors") {
        bytes[kConfigAt + kMsixCap + PCI_MSIX_FLAGS] = std::byte{3};
        CHECK_THAT(refusal(), Catch::Contains("MSI-X"));
    }
    SECTION("an interrupt on a pin that is not there") {
        bytes[kIrqAt + 7] = std::byte{1};
        CHECK_THAT(refusal(), Catch::Contains("irq_state[1]"));
    }
    SECTION("an interrupt asserted twice") {
        bytes[kIrqAt + 3] = std::byte{2};
        CHECK_THAT(refusal(), Catch::Contains("irq_state[0]"));
    }
    SECTION("an interrupt that the device has no reason for is dropped") {
        bytes[kIrqAt + 3] = std::byte{1};
        bytes[kConfigAt + PCI_INTERRUPT_PIN] = GENERATE(std::byte{0}, std::byte{1}, std::byte{0xff});
        REQUIRE(target.parse(bytes).ok());
        target.commit();
        CHECK_FALSE(target.board.interrupts.level(13));
    }
    SECTION("a pending vector that is not there") {
        bytes[kPendingAt] = std::byte{8};
        CHECK_THAT(refusal(), Catch::Contains("msix_pba"));
    }
    SECTION("a configuration vector out of range") {
        bytes[kVectorAt + 1] = std::byte{3};
        CHECK_THAT(refusal(), Catch::Contains("config_vector is 3"));
    }
    SECTION("an enabled flag that is not one") {
        bytes[modern + 23 + 4 + 16 + 3] = std::byte{2};
        CHECK_THAT(refusal(), Catch::Contains("enabled"));
    }
    SECTION("an unknown subsection") {
        bytes[modern + 11] = std::byte{'x'};
        CHECK_THAT(refusal(), Catch::Contains("virtio_pci/xodern_state"));
    }
    SECTION("a subsection of the future") {
        bytes[modern + 26] = std::byte{2};
        CHECK_THAT(refusal(), Catch::Contains("version 2"));
    }
    SECTION("BARs outside the windows are not mapped") {
        bytes[kConfigAt + PCI_BASE_ADDRESS_0 + 4 * kModernBar + 7] = std::byte{0xff};
        REQUIRE(target.parse(bytes).ok());
        target.commit();
        target.resume();
        CHECK(target.board.doorbells.bells.empty());
    }
    SECTION("an MSI-X table that spells a subsection") {
        constexpr std::string_view text = "\x05\x10PCIDevice/msi_x";
        for (std::size_t i = 0; i < 16; ++i)
            bytes[kTableAt + i] = static_cast<std::byte>(text[i]);
        CHECK(target.parse(bytes).ok());
    }
}

} // namespace godwit::pci::virtio_pci_state_test
