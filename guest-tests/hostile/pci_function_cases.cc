// SPDX-License-Identifier: Apache-2.0
//
// Configuration space and BARs: PCI 3.0, and the window of virtio 1.2 section 4.1.4.9.
#include "guest-tests/hostile/attack.h"
#include "guest-tests/hostile/pci_case.h"
#include "guest-tests/hostile/tables.h"

#include <algorithm>

namespace godwit::hostile {

using namespace pci;
using namespace virtio;
using pci::testing::kEcam;
using pci::testing::kWindow32;
using pci::testing::kWindow64;
using pci::testing::PciDriver;

namespace {

constexpr std::uint32_t kModernBarAt = PCI_BASE_ADDRESS_0 + 4 * kModernBar;
constexpr std::uint32_t kMsixBarAt = PCI_BASE_ADDRESS_0 + 4 * kMsixBar;
constexpr std::uint32_t kWindowData = kPciCfgCap + kCapExtra;

Case other_lost_by_move(Case one) {
    one.other_lost_by_move = true;
    return one;
}

void move_modern_bar(Attack& a, std::uint64_t to) {
    a.pci().config_write(kModernBarAt, static_cast<std::uint32_t>(to));
    a.pci().config_write(kModernBarAt + 4, static_cast<std::uint32_t>(to >> 32));
}

bool registers_are_gone(Attack& a) {
    return a.board().read<std::uint32_t>(a.pci().modern_at()) == 0xffffffff;
}

// A BAR in a place where it is not mapped.
std::function<void(Attack&)> unmapped_at(std::function<std::uint64_t(Attack&)> place) {
    return [place = std::move(place)](Attack& a) {
        const std::uint64_t to = place(a);
        move_modern_bar(a, to);
        a.expect(registers_are_gone(a), "the registers are still where they were");
        a.board().write(to + static_cast<std::uint32_t>(CommonField::device_status), std::uint8_t{0});
        const auto status = a.machine().loop().call([&] { return a.victim().core().status(); });
        a.expect(status == kRunning, "the device is reached there");
    };
}

// What is written does not change what is read.
std::function<void(Attack&)> read_only(std::uint32_t from, std::uint32_t to, std::uint32_t except_from = 0,
                                       std::uint32_t except_to = 0) {
    return [=](Attack& a) {
        for (std::uint32_t at = from; at < to; ++at) {
            if (at >= except_from && at < except_to)
                continue;
            const auto before = a.pci().config_read<std::uint8_t>(at);
            for (const std::uint8_t value : {std::uint8_t{0xff}, std::uint8_t{0}}) {
                a.pci().config_write(at, value);
                a.expect(a.pci().config_read<std::uint8_t>(at) == before,
                         fmt::format("byte {:#x} was changed", at));
            }
        }
    };
}

// Sets up the window of VIRTIO_PCI_CAP_PCI_CFG and writes a reset through it, which must not get there; what
// is read is what was written.
std::function<void(Attack&)> closed_window(std::uint8_t bar, std::uint32_t offset, std::uint32_t length) {
    return [=](Attack& a) {
        a.pci().config_write(kPciCfgCap + kCapBar, bar);
        a.pci().config_write(kPciCfgCap + kCapOffset, offset);
        a.pci().config_write(kPciCfgCap + kCapLengthField, length);
        a.pci().config_write(kWindowData, std::uint32_t{0});
        a.expect(a.pci().config_read<std::uint32_t>(kWindowData) == 0, "something was read");
        a.expect(a.pci().status() == kRunning, "the status has changed");
    };
}

std::vector<Case> bars() {
    return {
        dead(pci_case("BAR over RAM", "PCI 3.0, 6.2.5.1", Outcome::Refused, "it is not mapped",
                      unmapped_at([](Attack&) { return std::uint64_t{0x10000}; }), kDevices)),
        dead(pci_case("BAR over ECAM", "PCI 3.0, 6.2.5.1", Outcome::Refused, "it is not mapped",
                      unmapped_at([](Attack&) { return kEcam; }))),
        dead(pci_case("BAR over the end of its window", "PCI 3.0, 6.2.5.1", Outcome::Refused,
                      "it is not mapped",
                      unmapped_at([](Attack&) { return kWindow32 + 0x2000'0000 - 0x2000; }))),
        dead(pci_case("BAR at the end of the address space", "PCI 3.0, 6.2.5.1", Outcome::Refused,
                      "it is not mapped",
                      unmapped_at([](Attack&) { return ~std::uint64_t{0} - kModernBarSize + 1; }))),
        dead(pci_case("BAR at address 0", "PCI 3.0, 6.2.5.1", Outcome::Refused, "it is not mapped",
                      unmapped_at([](Attack&) { return std::uint64_t{0}; }))),
        other_lost_by_move(
            dead(pci_case("BAR over another function's", "PCI 3.0, 6.2.5.1", Outcome::Refused,
                          "it is not mapped, the other one stays; after a move it is the other way round",
                          [](Attack& a) {
                              PciDriver other{a.board(), kBystanderSlot};
                              move_modern_bar(a, other.modern_at());
                              a.expect(registers_are_gone(a), "the registers are still where they were");
                              a.expect(other.status() == kRunning, "the other function's registers are gone");
                          }))),
        dead(pci_case("BAR over the function's own MSI-X table", "PCI 3.0, 6.2.5.1", Outcome::Refused,
                      "it is not mapped",
                      [](Attack& a) {
                          move_modern_bar(a, a.pci().msix_at() & ~std::uint64_t{kModernBarSize - 1});
                          a.expect(registers_are_gone(a), "the registers are still where they were");
                          a.expect(a.board().read<std::uint32_t>(a.pci().msix_at() + 8) == 0x40,
                                   "the table is gone");
                      })),
        pci_case(
            "sizing of a BAR with decoding on", "PCI 3.0, 6.2.5.1", Outcome::Harmless,
            "the size is read; the registers come back with the address",
            [](Attack& a) {
                const std::uint64_t before = a.pci().modern_at();
                move_modern_bar(a, ~std::uint64_t{0});
                a.expect((a.pci().config_read<std::uint32_t>(kModernBarAt) & ~0xfu) == ~(kModernBarSize - 1),
                         "another size");
                move_modern_bar(a, before);
                a.expect(a.pci().status() == kRunning, "the registers did not come back");
            },
            kDevices),
        pci_case(
            "a BAR that moves while requests come", "PCI 3.0, 6.2.5.1", Outcome::Harmless,
            "doorbells move with it",
            [](Attack& a) {
                for (std::uint64_t i = 1; i < 20; ++i)
                    move_modern_bar(a, kWindow64 + i * kModernBarSize * 16);
                move_modern_bar(a, a.pci().modern_at());
            },
            kDevices),
        dead(pci_case(
            "memory decoding is turned off while the device runs", "PCI 3.0, 6.2.2", Outcome::Harmless,
            "the registers are gone",
            [](Attack& a) {
                a.pci().config_write(PCI_COMMAND, std::uint16_t{PCI_COMMAND_MASTER});
                a.expect(registers_are_gone(a), "the registers are still there");
            },
            kDevices)),
        dead(pci_case(
            "bus mastering is turned off while the device runs", "PCI 3.0, 6.2.2", Outcome::Harmless,
            "the device touches no memory",
            [](Attack& a) {
                a.pci().config_write(PCI_COMMAND, std::uint16_t{PCI_COMMAND_MEMORY});
                (void)a.offer(a.good_chain());
                a.kick();
                a.expect(a.ring().used_index() == 0, "a request was used");
            },
            kQueues)),
        pci_case(
            "bus mastering is turned off and on while requests are in flight", "PCI 3.0, 6.2.2",
            Outcome::Harmless, "requests wait for it",
            [](Attack& a) {
                for (int i = 0; i < 5; ++i) {
                    (void)a.offer(a.good_chain());
                    a.seal();
                    a.driver().notify(a.queue());
                    a.pci().config_write(PCI_COMMAND, std::uint16_t{PCI_COMMAND_MEMORY});
                    a.pci().config_write(PCI_COMMAND, PciDriver::kCommand);
                    a.expect_used();
                }
                a.seal();
            },
            kQueues),
        pci_case("all bits of the command register", "PCI 3.0, 6.2.2", Outcome::Harmless,
                 "those that are there are set",
                 [](Attack& a) {
                     a.pci().config_write(PCI_COMMAND, std::uint16_t{0xffff});
                     a.expect(a.pci().config_read<std::uint16_t>(PCI_COMMAND) ==
                                  (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                                   PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE),
                              "other bits are set");
                 }),
    };
}

std::vector<Case> configuration() {
    return {
        pci_case(
            "vendor, device, class and header type are written", "PCI 3.0, 6.2.1", Outcome::Refused,
            "they stay",
            [](Attack& a) {
                read_only(PCI_VENDOR_ID, PCI_COMMAND)(a);
                read_only(PCI_REVISION_ID, PCI_CACHE_LINE_SIZE)(a);
                read_only(PCI_HEADER_TYPE, PCI_BASE_ADDRESS_0)(a);
            },
            kDevices),
        pci_case("BARs that are not there, subsystem, ROM and capability pointer are written",
                 "PCI 3.0, 6.2.5", Outcome::Refused, "they stay",
                 [](Attack& a) {
                     read_only(PCI_BASE_ADDRESS_0, kMsixBarAt)(a);
                     read_only(kMsixBarAt + 4, kModernBarAt)(a);
                     read_only(kModernBarAt + 8, PCI_INTERRUPT_LINE)(a);
                     read_only(PCI_INTERRUPT_PIN, kFirstCapability)(a);
                 }),
        pci_case(
            "the capability list is written", "PCI 3.0, 6.7", Outcome::Refused, "it stays",
            [](Attack& a) {
                read_only(kCommonCap, kPciCfgCap + kCapBar)(a);
                read_only(kMsixCap, kMsixCap + PCI_MSIX_FLAGS + 1)(a);
                read_only(kMsixCap + 4, 0x100)(a);
            },
            kDevices),
        pci_case("configuration space beyond its 256 bytes", "PCI 3.0, 6.1", Outcome::Harmless, "zeros",
                 [](Attack& a) {
                     for (const std::uint32_t reg : {0x100u, 0x400u, 0xffcu}) {
                         a.pci().config_write(reg, ~std::uint32_t{0});
                         a.expect(a.pci().config_read<std::uint32_t>(reg) == 0, "there is something");
                     }
                 }),
        pci_case("configuration accesses of 8 bytes, and across registers", "PCI 3.0, 6.1", Outcome::Harmless,
                 "they are what their bytes are",
                 [](Attack& a) {
                     a.expect(a.pci().config_read<std::uint16_t>(PCI_VENDOR_ID) == kVirtioVendor,
                              "another vendor");
                     a.expect((a.pci().config_read<std::uint64_t>(0) & 0xffff) == kVirtioVendor,
                              "another vendor");
                     for (std::uint32_t reg = 1; reg < 64; ++reg)
                         (void)a.pci().config_read<std::uint64_t>(reg);
                     a.pci().config_write(PCI_REVISION_ID - 2u, std::uint64_t{0} | 0xffff'ffff'0000);
                 }),
        pci_case("functions, slots and buses that are not there", "PCI 3.0, 6.1", Outcome::Harmless,
                 "reads give ones, writes nothing",
                 [](Attack& a) {
                     for (const std::uint64_t offset :
                          {std::uint64_t{kVictimSlot} << 15 | 1 << 12,
                           std::uint64_t{kVictimSlot} << 15 | 7 << 12, std::uint64_t{31} << 15,
                           std::uint64_t{1} << 20, std::uint64_t{0xff} << 20}) {
                         a.board().write(kEcam + offset + PCI_COMMAND, std::uint32_t{0});
                         a.expect(a.board().read<std::uint32_t>(kEcam + offset) == 0xffffffff,
                                  "somebody is there");
                     }
                 }),

        // ---- the window in configuration space
        pci_case("configuration window: another BAR", "4.1.4.9", Outcome::Refused, "nothing is reached",
                 closed_window(kMsixBar, at(CommonField::device_status), 1)),
        pci_case("configuration window: a BAR that does not exist", "4.1.4.9", Outcome::Refused,
                 "nothing is reached", closed_window(0xff, at(CommonField::device_status), 1)),
        pci_case("configuration window: length 0", "4.1.4.9", Outcome::Refused, "nothing is reached",
                 closed_window(kModernBar, at(CommonField::device_status), 0)),
        pci_case("configuration window: length 3", "4.1.4.9.1", Outcome::Refused, "nothing is reached",
                 closed_window(kModernBar, at(CommonField::device_status), 3)),
        pci_case("configuration window: length 8", "4.1.4.9.1", Outcome::Refused, "nothing is reached",
                 closed_window(kModernBar, at(CommonField::queue_desc), 8)),
        pci_case("configuration window: length 0xffffffff", "4.1.4.9.1", Outcome::Refused,
                 "nothing is reached", closed_window(kModernBar, at(CommonField::device_status), 0xffffffff)),
        pci_case("configuration window: an offset that is not aligned", "4.1.4.9.1", Outcome::Refused,
                 "nothing is reached", closed_window(kModernBar, at(CommonField::device_status) + 1, 2)),
        pci_case("configuration window: an offset behind the BAR", "4.1.4.9.1", Outcome::Refused,
                 "nothing is reached", closed_window(kModernBar, kModernBarSize, 4)),
        pci_case("configuration window: an offset at the end of 32 bits", "4.1.4.9.1", Outcome::Refused,
                 "nothing is reached", closed_window(kModernBar, 0xfffffffc, 4)),
        dead(pci_case(
            "configuration window: a reset while the device runs", "4.1.4.9", Outcome::Harmless,
            "the device is reset as by its register",
            [](Attack& a) {
                a.pci().config_write(kPciCfgCap + kCapBar, std::uint8_t{kModernBar});
                a.pci().config_write(kPciCfgCap + kCapOffset, at(CommonField::device_status));
                a.pci().config_write(kPciCfgCap + kCapLengthField, std::uint32_t{1});
                a.pci().config_write(kWindowData, std::uint32_t{0});
                a.expect(a.pci().status() == 0, "the status is not 0");
            },
            kDevices)),
        pci_case(
            "configuration window: doorbells, 100 times", "4.1.4.9", Outcome::Harmless, "they are doorbells",
            [](Attack& a) {
                a.pci().config_write(kPciCfgCap + kCapBar, std::uint8_t{kModernBar});
                a.pci().config_write(kPciCfgCap + kCapOffset, kNotifyRegion + kNotifyMultiplier * a.queue());
                a.pci().config_write(kPciCfgCap + kCapLengthField, std::uint32_t{2});
                (void)a.offer(a.good_chain());
                a.seal();
                for (int i = 0; i < 100; ++i)
                    a.pci().config_write(kWindowData, std::uint32_t{a.queue()});
                a.expect_used();
            },
            kQueues),
    };
}

} // namespace

std::vector<Case> pci_function_cases() {
    std::vector<Case> all = bars();
    const std::vector<Case> more = configuration();
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

} // namespace godwit::hostile
