// SPDX-License-Identifier: Apache-2.0
//
// The virtio transport as a driver meets it: initialisation, queues, doorbells, interrupts, and what a
// hostile driver may try.
#include "transports/pci/driver_support.h"

#include <catch2/catch.hpp>

namespace godwit::pci::virtio_pci_test {
namespace {

using namespace testing;
using virtio::FakeDriver;

constexpr std::uint64_t kFeatures =
    virtio::feature(virtio::VIRTIO_F_VERSION_1) | virtio::feature(virtio::VIRTIO_F_RING_RESET);
constexpr std::uint8_t kAllOk =
    virtio::ACKNOWLEDGE | virtio::DRIVER | virtio::FEATURES_OK | virtio::DRIVER_OK;

struct Fixture {
    explicit Fixture(std::uint16_t command = PciDriver::kCommand) { driver.enable(command); }

    // A device that runs, queue 0 with `ring`. With MSI-X: vector 0 for configuration, 1 for the queue.
    void run(bool msix) {
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
        REQUIRE(driver.status() == kAllOk);
    }
    void offer() { ring.chain().writable(Gpa{0x8000}, 16).offer(); }
    // The doorbell as KVM handles it, then time for the loop to hear it.
    void ring_and_wait(std::uint16_t index) {
        const int before = plugged.device->kicks;
        REQUIRE(board.doorbells.ring(driver.doorbell(index)));
        for (int i = 0; i < 5000 && plugged.device->kicks == before; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        board.on_loop([] {});
    }
    int triggers(std::size_t vector) const { return board.interrupts.vectors[vector]->triggers; }
    bool intx() const { return board.interrupts.level(13); } // slot 1

    Board board;
    Plugged plugged{board};
    PciDriver driver{board};
    FakeDriver ring{*board.memory, 16, Gpa{0x1000}};
};

} // namespace

TEST_CASE("a driver initialises the device and moves buffers", "[pci]") {
    Fixture f;
    PciDriver& driver = f.driver;
    CHECK(driver.get<std::uint16_t>(CommonField::num_queues) == 2);
    CHECK(driver.offered() == f.board.on_loop([&] { return f.plugged.core.offered_features(); }));
    driver.set(CommonField::device_feature_select, std::uint32_t{2});
    CHECK(driver.get<std::uint32_t>(CommonField::device_feature) == 0);

    driver.enable_msix();
    driver.open_vector(0);
    driver.open_vector(2);
    driver.negotiate(kFeatures);
    CHECK(driver.status() == (virtio::ACKNOWLEDGE | virtio::DRIVER | virtio::FEATURES_OK));
    driver.set(CommonField::driver_feature_select, std::uint32_t{1});
    CHECK(driver.get<std::uint32_t>(CommonField::driver_feature) == kFeatures >> 32);
    driver.set(CommonField::driver_feature, std::uint32_t{0}); // too late
    CHECK(driver.get<std::uint32_t>(CommonField::driver_feature) == kFeatures >> 32);

    driver.set(CommonField::config_msix_vector, std::uint16_t{0});
    CHECK(driver.get<std::uint16_t>(CommonField::config_msix_vector) == 0);
    driver.set(CommonField::queue_select, std::uint16_t{1});
    CHECK(driver.get<std::uint16_t>(CommonField::queue_size) == 64);
    CHECK(driver.get<std::uint16_t>(CommonField::queue_notify_off) == 1);
    CHECK(driver.get<std::uint16_t>(CommonField::queue_enable) == 0);
    CHECK(driver.get<std::uint16_t>(CommonField::queue_msix_vector) == VIRTIO_MSI_NO_VECTOR);
    driver.set_up_queue(1, f.ring, 2);
    CHECK(driver.get<std::uint16_t>(CommonField::queue_enable) == 1);
    CHECK(driver.get<std::uint16_t>(CommonField::queue_size) == 16);
    CHECK(driver.get<std::uint16_t>(CommonField::queue_msix_vector) == 2);
    CHECK(driver.get<std::uint64_t>(CommonField::queue_desc) == f.ring.addresses().desc.value);
    CHECK(driver.get<std::uint64_t>(CommonField::queue_driver) == f.ring.addresses().driver.value);
    CHECK(driver.get<std::uint64_t>(CommonField::queue_device) == f.ring.addresses().device.value);
    CHECK(f.board.doorbells.bells.empty());
    driver.go();
    REQUIRE(driver.status() == kAllOk);

    f.offer();
    f.ring_and_wait(1);
    CHECK(f.ring.take_used().has_value());
    CHECK(f.triggers(2) == 1);
    CHECK(f.triggers(0) == 0);
    CHECK_FALSE(f.intx());

    const auto& vector = *f.board.interrupts.vectors[2];
    CHECK(vector.address == 0xfee0'0000);
    CHECK(vector.data == 0x42);
}

TEST_CASE("a doorbell that arrives as a register access works as well", "[pci]") {
    Fixture f;
    f.run(true);
    const int before = f.triggers(1);
    SECTION("16 bits") {
        f.offer();
        f.board.write(f.driver.doorbell(0), std::uint16_t{0});
        CHECK(f.triggers(1) == before + 1);
    }
    SECTION("32 bits") {
        f.offer();
        f.board.write(f.driver.doorbell(0), std::uint32_t{0});
        CHECK(f.triggers(1) == before + 1);
    }
    SECTION("of queues that are not there") {
        f.offer();
        f.board.write(f.driver.doorbell(1), std::uint16_t{1});
        f.board.write(f.driver.doorbell(2), std::uint16_t{2});
        f.board.write(f.driver.doorbell(1023), std::uint16_t{1023});
        f.board.write(f.driver.modern_at() + kModernBarSize - 1, std::uint8_t{0});
        CHECK(f.triggers(1) == before);
    }
}

TEST_CASE("doorbells follow the BAR and the device's life", "[pci]") {
    Fixture f;
    CHECK(f.board.doorbells.bells.empty());
    f.run(true);
    CHECK(f.board.doorbells.bells.size() == 2);
    CHECK(f.board.doorbells.bells.count(f.driver.doorbell(1)) == 1);

    SECTION("the BAR moves") {
        const std::uint64_t elsewhere = kWindow32 + 0x100'0000;
        f.driver.config_write(PCI_BASE_ADDRESS_0 + 4 * kModernBar + 4, std::uint32_t{0});
        f.driver.config_write(PCI_BASE_ADDRESS_0 + 4 * kModernBar, static_cast<std::uint32_t>(elsewhere));
        CHECK(f.board.doorbells.bells.size() == 2);
        CHECK(f.board.doorbells.bells.count(elsewhere + kNotifyRegion) == 1);
        f.driver.config_write(PCI_COMMAND, PCI_COMMAND_MASTER); // decoding off
        CHECK(f.board.doorbells.bells.empty());
        f.driver.config_write(PCI_COMMAND, PciDriver::kCommand);
        CHECK(f.board.doorbells.bells.size() == 2);
    }
    SECTION("pause and resume: a kick that came in between is found") {
        f.board.on_loop([&] { must(f.plugged.core.pause()); });
        CHECK(f.board.doorbells.bells.empty());
        f.offer();
        f.board.write(f.driver.doorbell(0), std::uint16_t{0});
        CHECK_FALSE(f.ring.take_used().has_value());
        f.board.on_loop([&] { must(f.plugged.core.resume()); });
        CHECK(f.ring.take_used().has_value());
    }
    SECTION("a kick that pends at the stop is not delivered to a stopped device") {
        f.board.on_loop([&] {
            f.offer();
            REQUIRE(f.board.doorbells.ring(f.driver.doorbell(0)));
            must(f.plugged.core.pause());
        });
        f.board.on_loop([] {});
        CHECK_FALSE(f.ring.take_used().has_value());
        f.board.on_loop([&] { must(f.plugged.core.resume()); });
        CHECK(f.ring.take_used().has_value());
    }
    SECTION("a reset by the driver") {
        f.driver.set_status(0);
        CHECK(f.board.doorbells.bells.empty());
    }
}

TEST_CASE("doorbells that the host refuses are slow, not lost", "[pci]") {
    Fixture f;
    f.board.doorbells.refuse = true;
    f.run(false);
    CHECK(f.board.doorbells.bells.empty());
    f.offer();
    f.board.write(f.driver.doorbell(0), std::uint16_t{0});
    CHECK(f.ring.take_used().has_value());
}

TEST_CASE("without MSI-X the line follows the interrupt status", "[pci]") {
    Fixture f;
    f.run(false);
    (void)f.driver.isr();
    f.offer();
    f.board.write(f.driver.doorbell(0), std::uint16_t{0});
    CHECK(f.intx());
    CHECK((f.driver.config_read<std::uint16_t>(PCI_STATUS) & PCI_STATUS_INTERRUPT) != 0);
    SECTION("reading the status lowers it") {
        CHECK(f.driver.isr() == virtio::kIsrQueue);
        CHECK_FALSE(f.intx());
        CHECK(f.driver.isr() == 0);
    }
    SECTION("a wide read lowers it as well") {
        CHECK(f.board.read<std::uint32_t>(f.driver.modern_at() + kIsrRegion) == virtio::kIsrQueue);
        CHECK_FALSE(f.intx());
    }
    SECTION("the command register holds it back") {
        f.driver.config_write(PCI_COMMAND,
                              static_cast<std::uint16_t>(PciDriver::kCommand | PCI_COMMAND_INTX_DISABLE));
        CHECK_FALSE(f.intx());
        f.driver.config_write(PCI_COMMAND, PciDriver::kCommand);
        CHECK(f.intx());
    }
    SECTION("enabling MSI-X lowers it, disabling raises it again") {
        f.driver.enable_msix();
        CHECK_FALSE(f.intx());
        f.driver.config_write(kMsixCap + PCI_MSIX_FLAGS, std::uint16_t{0});
        CHECK(f.intx());
    }
    SECTION("a reset of the device lowers it") {
        f.driver.set_status(0);
        CHECK_FALSE(f.intx());
    }
    SECTION("a change of the configuration raises it") {
        (void)f.driver.isr();
        f.board.on_loop([&] { f.plugged.device->host->config_changed(); });
        CHECK(f.intx());
        CHECK((f.driver.isr() & virtio::kIsrConfig) != 0);
    }
}

TEST_CASE("configuration changes go to their own vector", "[pci]") {
    Fixture f;
    f.run(true);
    const auto generation = f.driver.get<std::uint8_t>(CommonField::config_generation);
    f.board.on_loop([&] { f.plugged.device->host->config_changed(); });
    CHECK(f.triggers(0) == 1);
    CHECK(f.driver.get<std::uint8_t>(CommonField::config_generation) != generation);
    f.driver.set(CommonField::config_msix_vector, VIRTIO_MSI_NO_VECTOR);
    f.board.on_loop([&] { f.plugged.device->host->config_changed(); });
    CHECK(f.triggers(0) == 1);
}

TEST_CASE("without bus mastering the device neither works nor interrupts", "[pci]") {
    Fixture f;
    f.run(true);
    f.driver.config_write(PCI_COMMAND, PCI_COMMAND_MEMORY);
    CHECK(f.board.on_loop([&] { return f.plugged.core.running(); }) == false);
    f.offer();
    f.board.write(f.driver.doorbell(0), std::uint16_t{0});
    CHECK_FALSE(f.ring.take_used().has_value());
    f.board.on_loop([&] { f.plugged.device->host->config_changed(); });
    CHECK(f.triggers(0) == 0);
    f.driver.config_write(PCI_COMMAND, PciDriver::kCommand);
    CHECK(f.ring.take_used().has_value());
}

TEST_CASE("a reset by the driver forgets queues, vectors and selectors", "[pci]") {
    Fixture f;
    f.run(true);
    f.driver.set_status(0);
    CHECK(f.driver.status() == 0);
    CHECK(f.driver.get<std::uint32_t>(CommonField::driver_feature_select) == 0);
    CHECK(f.driver.get<std::uint32_t>(CommonField::driver_feature) == 0);
    CHECK(f.driver.get<std::uint16_t>(CommonField::config_msix_vector) == VIRTIO_MSI_NO_VECTOR);
    f.driver.set(CommonField::queue_select, std::uint16_t{0});
    CHECK(f.driver.get<std::uint16_t>(CommonField::queue_msix_vector) == VIRTIO_MSI_NO_VECTOR);
    CHECK(f.driver.get<std::uint16_t>(CommonField::queue_enable) == 0);
    CHECK(f.driver.get<std::uint16_t>(CommonField::queue_size) == 256);
    CHECK(f.driver.get<std::uint64_t>(CommonField::queue_desc) == 0);
    // MSI-X and BARs are the bus's, not the device's.
    CHECK((f.driver.config_read<std::uint16_t>(kMsixCap + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_ENABLE) != 0);
}

TEST_CASE("a message that pends does not outlive the device's reset", "[pci]") {
    Fixture f;
    f.run(true);
    const int before = f.triggers(0);
    f.board.write(f.driver.msix_at() + PCI_MSIX_ENTRY_VECTOR_CTRL, PCI_MSIX_ENTRY_CTRL_MASKBIT);
    f.board.on_loop([&] { f.plugged.device->host->config_changed(); });
    CHECK(f.board.read<std::uint32_t>(f.driver.msix_at() + Msix::kPendingOffset) == 1);
    f.driver.set_status(0);
    CHECK(f.board.read<std::uint32_t>(f.driver.msix_at() + Msix::kPendingOffset) == 0);
    f.board.write(f.driver.msix_at() + PCI_MSIX_ENTRY_VECTOR_CTRL, std::uint32_t{0});
    CHECK(f.triggers(0) == before);
}

TEST_CASE("one queue can be reset and set up again", "[pci]") {
    Fixture f;
    f.run(true);
    f.driver.set(CommonField::queue_select, std::uint16_t{0});
    f.driver.set(CommonField::queue_reset, std::uint16_t{1});
    CHECK(f.driver.get<std::uint16_t>(CommonField::queue_reset) == 0);
    CHECK(f.driver.get<std::uint16_t>(CommonField::queue_enable) == 0);
    CHECK(f.driver.get<std::uint16_t>(CommonField::queue_size) == 256);
    FakeDriver fresh{*f.board.memory, 8, Gpa{0x3000}};
    f.driver.set_up_queue(0, fresh, 1);
    CHECK(f.driver.get<std::uint16_t>(CommonField::queue_enable) == 1);
    fresh.chain().writable(Gpa{0x8000}, 16).offer();
    f.board.write(f.driver.doorbell(0), std::uint16_t{0});
    CHECK(fresh.take_used().has_value());
}

TEST_CASE("the machine's reset", "[pci]") {
    Fixture f;
    f.run(true);
    f.board.on_loop([&] {
        f.board.host->reset();
        f.plugged.core.machine_reset();
    });
    CHECK(f.driver.config_read<std::uint16_t>(PCI_COMMAND) == 0);
    CHECK(f.driver.config_read<std::uint16_t>(kMsixCap + PCI_MSIX_FLAGS) == 1 + 1);
    CHECK(f.board.read<std::uint32_t>(f.driver.modern_at()) == 0xffffffff);
    CHECK(f.board.doorbells.bells.empty());
    f.driver.enable();
    CHECK(f.board.read<std::uint32_t>(f.driver.msix_at() + 16 + 8) == 0);
    f.run(true);
}

TEST_CASE("device configuration", "[pci]") {
    Fixture f;
    const std::uint64_t at = f.driver.modern_at() + kDeviceRegion;
    CHECK(f.board.read<std::uint32_t>(at) == 0x43424140);
    f.board.write(at + 2, std::uint16_t{0xbeef});
    CHECK(f.board.read<std::uint32_t>(at) == 0xbeef4140);
    CHECK(f.board.read<std::uint32_t>(at + 20) == 0);
    CHECK(f.board.read<std::uint64_t>(at + 16) == 0x53525150);
    f.board.write(at + 16, ~std::uint64_t{0}); // half of it is outside
    f.board.write(at + kRegionSize - 4, ~std::uint32_t{0});
    CHECK(f.board.read<std::uint32_t>(at + 16) == 0x53525150);
}

TEST_CASE("queues and vectors out of range", "[pci]") {
    Fixture f;
    f.driver.enable_msix();
    f.driver.negotiate(kFeatures);
    for (const std::uint16_t index : std::initializer_list<std::uint16_t>{2, 3, 1023, 1024, 0x7fff, 0xffff}) {
        INFO(index);
        f.driver.set(CommonField::queue_select, index);
        CHECK(f.driver.get<std::uint16_t>(CommonField::queue_select) == std::min<std::uint16_t>(index, 1023));
        CHECK(f.driver.get<std::uint16_t>(CommonField::queue_size) == 0);
        CHECK(f.driver.get<std::uint16_t>(CommonField::queue_enable) == 0);
        f.driver.set_up_queue(index, f.ring, 1);
        f.driver.set(CommonField::queue_reset, std::uint16_t{1});
        CHECK(f.driver.get<std::uint16_t>(CommonField::queue_size) == 0);
        CHECK(f.driver.get<std::uint16_t>(CommonField::queue_enable) == 0);
        CHECK(f.driver.get<std::uint64_t>(CommonField::queue_desc) == 0);
        CHECK(f.driver.get<std::uint16_t>(CommonField::queue_msix_vector) == VIRTIO_MSI_NO_VECTOR);
    }
    f.driver.set(CommonField::queue_select, std::uint16_t{0});
    for (const std::uint16_t vector : std::initializer_list<std::uint16_t>{3, 4, 0x7ff, 0xfffe, 0xffff}) {
        f.driver.set(CommonField::queue_msix_vector, std::uint16_t{2});
        CHECK(f.driver.get<std::uint16_t>(CommonField::queue_msix_vector) == 2);
        f.driver.set(CommonField::queue_msix_vector, vector);
        CHECK(f.driver.get<std::uint16_t>(CommonField::queue_msix_vector) == VIRTIO_MSI_NO_VECTOR);
        f.driver.set(CommonField::config_msix_vector, vector);
        CHECK(f.driver.get<std::uint16_t>(CommonField::config_msix_vector) == VIRTIO_MSI_NO_VECTOR);
    }
    for (const std::uint16_t size : std::initializer_list<std::uint16_t>{0, 3, 17, 512, 0x8000, 0xffff}) {
        f.driver.set(CommonField::queue_size, size);
        CHECK(f.driver.get<std::uint16_t>(CommonField::queue_size) == 256);
    }
    // Addresses of an enabled queue do not change any more.
    f.driver.set_up_queue(0, f.ring);
    f.driver.set(CommonField::queue_desc, std::uint32_t{0xdead0000});
    f.driver.set(CommonField::queue_size, std::uint16_t{4});
    CHECK(f.driver.get<std::uint32_t>(CommonField::queue_desc) == f.ring.addresses().desc.value);
    CHECK(f.driver.get<std::uint16_t>(CommonField::queue_size) == 16);
}

TEST_CASE("accesses of every width to every register are survived", "[pci]") {
    Fixture f;
    f.driver.enable_msix();
    const auto sweep = [&]<class T>(T value) {
        for (std::uint64_t at = 0; at + sizeof(T) <= 0x80; ++at) {
            for (const std::uint64_t region : {kCommonRegion, kIsrRegion, kDeviceRegion, kNotifyRegion}) {
                f.board.write(f.driver.modern_at() + region + at, value);
                (void)f.board.read<T>(f.driver.modern_at() + region + at);
                const std::uint64_t end = region + kRegionSize - 1 - at % 8;
                f.board.write(f.driver.modern_at() + end, value);
                (void)f.board.read<T>(f.driver.modern_at() + end);
            }
        }
    };
    for (const std::uint64_t pattern :
         {~std::uint64_t{0}, std::uint64_t{0x0001'0001'0001'0001}, std::uint64_t{0}}) {
        sweep(static_cast<std::uint8_t>(pattern));
        sweep(static_cast<std::uint16_t>(pattern));
        sweep(static_cast<std::uint32_t>(pattern));
        sweep(pattern);
    }
    f.run(true);
}

TEST_CASE("the window in configuration space reaches the registers", "[pci]") {
    Fixture f{0}; // no BAR is decoded
    const auto aim = [&](std::uint8_t bar, std::uint32_t offset, std::uint32_t length) {
        f.driver.config_write(kPciCfgCap + kCapBar, bar);
        f.driver.config_write(kPciCfgCap + kCapOffset, offset);
        f.driver.config_write(kPciCfgCap + kCapLengthField, length);
    };
    constexpr std::uint32_t kData = kPciCfgCap + kCapExtra;
    const auto at = [](CommonField field) { return static_cast<std::uint32_t>(field); };

    aim(kModernBar, at(CommonField::num_queues), 2);
    CHECK(f.driver.config_read<std::uint16_t>(kData) == 2);
    aim(kModernBar, at(CommonField::device_status), 1);
    f.driver.config_write(kData, std::uint8_t{virtio::ACKNOWLEDGE});
    CHECK(f.driver.config_read<std::uint8_t>(kData) == virtio::ACKNOWLEDGE);
    aim(kModernBar, kDeviceRegion, 4);
    CHECK(f.driver.config_read<std::uint32_t>(kData) == 0x43424140);
    f.driver.config_write(kData, std::uint32_t{0x01020304});
    CHECK(f.driver.config_read<std::uint32_t>(kData) == 0x01020304);

    SECTION("nothing is reached that a BAR does not have") {
        f.driver.config_write(kData, std::uint32_t{0});
        struct Aim {
            std::uint8_t bar;
            std::uint32_t offset;
            std::uint32_t length;
        };
        for (const Aim& bad : {Aim{0, 0, 4}, Aim{1, 0, 4}, Aim{5, 0, 4}, Aim{0xff, 0, 4}, Aim{4, 0, 0},
                               Aim{4, 0, 3}, Aim{4, 0, 8}, Aim{4, 0, 0xffffffff}, Aim{4, 1, 4}, Aim{4, 2, 4},
                               Aim{4, 3, 2}, Aim{4, 0x4000, 4}, Aim{4, 0x4000, 1}, Aim{4, 0xfffffffc, 4},
                               Aim{4, 0xffffffff, 1}, Aim{4, 0xffffffff, 4}}) {
            aim(bad.bar, bad.offset, bad.length);
            f.driver.config_write(kData, std::uint32_t{0xa5a5a5a5});
            CHECK(f.driver.config_read<std::uint32_t>(kData) == 0xa5a5a5a5); // only what was written
        }
        aim(kModernBar, kModernBarSize - 4, 4);
        CHECK(f.driver.config_read<std::uint32_t>(kData) == 0);
        aim(kModernBar, at(CommonField::device_status), 1);
        CHECK(f.driver.config_read<std::uint8_t>(kData) == virtio::ACKNOWLEDGE);
    }
}

} // namespace godwit::pci::virtio_pci_test
