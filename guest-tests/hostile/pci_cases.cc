// SPDX-License-Identifier: Apache-2.0
//
// Configuration space, BARs, MSI-X and the registers of the modern BAR: PCI 3.0, and virtio 1.2 section 4.1.
#include "guest-tests/hostile/attack.h"

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
constexpr std::uint8_t kRunning = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
constexpr std::uint32_t kWindowData = kPciCfgCap + kCapExtra;

Case pci_case(std::string rule, std::string section, Outcome outcome, std::string effect,
              std::function<void(Attack&)> act, std::span<const Target> targets = kOnlyBlk) {
    return {.rule = std::move(rule),
            .section = std::move(section),
            .targets = targets,
            .transports = kOnlyPci,
            .outcome = outcome,
            .effect = std::move(effect),
            .act = std::move(act)};
}

Case from(Stage stage, Case one) {
    one.stage = stage;
    return one;
}

Case without(unsigned bit, Case one) {
    one.options.features_off = feature(bit);
    return one;
}

Case other_lost_by_move(Case one) {
    one.other_lost_by_move = true;
    return one;
}

// Good requests are not served afterwards.
Case dead(Case one) {
    one.alive = false;
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

// Writes to a register with a width that is not its own.
std::function<void(Attack&)> ignored_write(std::uint32_t offset, auto value) {
    return [=](Attack& a) {
        const auto whole = [&] {
            Bytes bytes;
            for (std::uint32_t at = 0; at < kCommonCfgSize; at += 4)
                for (int i = 0; i < 4; ++i)
                    bytes.push_back(std::byte{static_cast<std::uint8_t>(
                        a.board().read<std::uint32_t>(a.pci().modern_at() + at) >> 8 * i)});
            return bytes;
        };
        const Bytes before = whole();
        a.board().write(a.pci().modern_at() + offset, value);
        a.expect(whole() == before, "a register has changed");
    };
}

constexpr std::uint32_t at(CommonField field) {
    return static_cast<std::uint32_t>(field);
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
                    if (a.target().kind == Kind::Net && a.queue() == kNetReceiveQueue)
                        a.victim().wire().send(frame_to(kTestMac, 60));
                    (void)a.answer();
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
                if (a.target().kind == Kind::Net && a.queue() == kNetReceiveQueue)
                    a.victim().wire().send(frame_to(kTestMac, 60));
                (void)a.answer();
            },
            kQueues),
    };
}

std::vector<Case> msix() {
    const auto table = [](Attack& a, std::uint32_t vector) { return a.pci().msix_at() + 16 * vector; };
    return {
        pci_case(
            "a vector for a queue that does not exist", "4.1.5.1.2", Outcome::Refused,
            "it reads as NO_VECTOR",
            [](Attack& a) {
                a.pci().set(CommonField::queue_select, std::uint16_t{0});
                for (const std::uint16_t vector :
                     {std::uint16_t{64}, std::uint16_t{0x7ff}, std::uint16_t{0xfffe}}) {
                    a.pci().set(CommonField::queue_msix_vector, vector);
                    a.expect(a.pci().get<std::uint16_t>(CommonField::queue_msix_vector) ==
                                 VIRTIO_MSI_NO_VECTOR,
                             "the vector was taken");
                }
            },
            kDevices),
        pci_case(
            "a vector for configuration changes that does not exist", "4.1.5.1.2", Outcome::Refused,
            "it reads as NO_VECTOR",
            [](Attack& a) {
                a.pci().set(CommonField::config_msix_vector,
                            static_cast<std::uint16_t>(a.victim().queue_count() + 1));
                a.expect(a.pci().get<std::uint16_t>(CommonField::config_msix_vector) == VIRTIO_MSI_NO_VECTOR,
                         "the vector was taken");
            },
            kDevices),
        pci_case("table entries are rewritten while they are in use", "PCI 3.0, 6.8.2", Outcome::Harmless,
                 "the message goes where the table says then",
                 [table](Attack& a) {
                     for (std::uint32_t i = 0; i < 50; ++i)
                         for (std::uint32_t vector = 0; vector <= a.victim().queue_count(); ++vector) {
                             a.board().write(table(a, vector), ~std::uint64_t{0} - i);
                             a.board().write(table(a, vector) + 8, std::uint64_t{i} << 32 | (i & 1));
                         }
                 }),
        pci_case(
            "the pending bits are written", "PCI 3.0, 6.8.2.8", Outcome::Refused, "they stay",
            [](Attack& a) {
                const std::uint64_t pending = a.pci().msix_at() + Msix::kPendingOffset;
                a.board().write(pending, ~std::uint64_t{0});
                a.expect(a.board().read<std::uint64_t>(pending) == 0, "bits are set");
            },
            kDevices),
        pci_case("accesses to the table of 1 and 2 bytes, and unaligned ones", "PCI 3.0, 6.8.2",
                 Outcome::Refused, "reads give zeros, writes nothing",
                 [table](Attack& a) {
                     const auto before = a.board().read<std::uint64_t>(table(a, 1));
                     a.board().write(table(a, 1), std::uint8_t{0xff});
                     a.board().write(table(a, 1) + 2, std::uint16_t{0xffff});
                     a.board().write(table(a, 1) + 2, ~std::uint32_t{0});
                     a.board().write(table(a, 1) + 4, ~std::uint64_t{0});
                     a.expect(a.board().read<std::uint64_t>(table(a, 1)) == before, "the entry has changed");
                     a.expect(a.board().read<std::uint8_t>(table(a, 1) + 3) == 0, "a byte is read");
                 }),
        pci_case(
            "entries beyond the table", "PCI 3.0, 6.8.2", Outcome::Refused, "zeros",
            [](Attack& a) {
                for (const std::uint32_t offset : {16u * (a.victim().queue_count() + 1u), 0x7f8u, 0xff8u}) {
                    a.board().write(a.pci().msix_at() + offset, ~std::uint64_t{0});
                    a.expect(a.board().read<std::uint64_t>(a.pci().msix_at() + offset) == 0,
                             "there is something");
                }
            }),
        pci_case("a vector is masked and opened, 50 times, with a request that interrupts",
                 "PCI 3.0, 6.8.2.9", Outcome::Harmless, "a masked message pends, and comes once",
                 [table](Attack& a) {
                     const std::uint32_t vector = a.queue() + 1u;
                     a.board().write(table(a, vector) + 12, std::uint32_t{1});
                     (void)a.offer(a.good_chain());
                     a.kick();
                     (void)a.answer();
                     const std::uint64_t pending = a.pci().msix_at() + Msix::kPendingOffset;
                     a.expect(a.board().read<std::uint32_t>(pending) == 1u << vector,
                              "the vector does not pend");
                     const auto& line = a.board().interrupts.vectors.at(vector);
                     const int before = line->triggers;
                     for (std::uint32_t i = 0; i < 50; ++i)
                         a.board().write(table(a, vector) + 12, i & 1);
                     a.expect(line->triggers == before + 1, "another number of messages");
                     a.board().write(table(a, vector) + 12, std::uint32_t{0});
                     a.expect(a.board().read<std::uint32_t>(pending) == 0, "the vector still pends");
                 }),
        pci_case(
            "MSI-X is turned off and on and masked, 50 times", "PCI 3.0, 6.8.2.3", Outcome::Harmless,
            "interrupts go the way that is set",
            [](Attack& a) {
                for (std::uint32_t i = 0; i < 50; ++i)
                    a.pci().config_write(kMsixCap + PCI_MSIX_FLAGS, static_cast<std::uint16_t>(i << 14));
                a.pci().enable_msix();
            },
            kDevices),
        pci_case("reserved bits and the table's size in the MSI-X control word", "PCI 3.0, 6.8.2.3",
                 Outcome::Refused, "they stay",
                 [](Attack& a) {
                     const auto before = a.pci().config_read<std::uint16_t>(kMsixCap + PCI_MSIX_FLAGS);
                     a.pci().config_write(kMsixCap + PCI_MSIX_FLAGS,
                                          static_cast<std::uint16_t>(before ^ 0x3fff));
                     a.expect(a.pci().config_read<std::uint16_t>(kMsixCap + PCI_MSIX_FLAGS) == before,
                              "they were changed");
                 }),
    };
}

std::vector<Case> registers() {
    return {
        pci_case("the status, with 4 bytes", "4.1.3.1", Outcome::Refused, "it is ignored",
                 ignored_write(at(CommonField::device_status), std::uint32_t{0})),
        pci_case("the status, with 2 bytes", "4.1.3.1", Outcome::Refused, "it is ignored",
                 ignored_write(at(CommonField::device_status), std::uint16_t{0})),
        pci_case("a field of 4 bytes, with 1", "4.1.3.1", Outcome::Refused, "it is ignored",
                 ignored_write(at(CommonField::driver_feature), std::uint8_t{0xff})),
        pci_case("a field of 2 bytes, with 1", "4.1.3.1", Outcome::Refused, "it is ignored",
                 ignored_write(at(CommonField::queue_select), std::uint8_t{1})),
        pci_case("two fields at once, with 8 bytes", "4.1.3.1", Outcome::Refused, "it is ignored",
                 ignored_write(at(CommonField::config_msix_vector), std::uint64_t{0})),
        pci_case("the second half of an address, with 8 bytes", "4.1.3.1", Outcome::Refused, "it is ignored",
                 ignored_write(at(CommonField::queue_desc_high), ~std::uint64_t{0})),
        pci_case("between two fields", "4.1.3.1", Outcome::Refused, "it is ignored",
                 ignored_write(at(CommonField::queue_size) + 1, std::uint16_t{0xffff})),
        pci_case("a write behind the last field", "4.1.4.3", Outcome::Refused, "it is ignored",
                 ignored_write(kCommonCfgSize, ~std::uint32_t{0})),
        pci_case("device_feature is written", "4.1.4.3", Outcome::Refused, "it stays",
                 ignored_write(at(CommonField::device_feature), ~std::uint32_t{0})),
        pci_case("num_queues is written", "4.1.4.3", Outcome::Refused, "it stays",
                 ignored_write(at(CommonField::num_queues), std::uint16_t{0xffff})),
        pci_case("config_generation is written", "4.1.4.3", Outcome::Refused, "it stays",
                 ignored_write(at(CommonField::config_generation), std::uint8_t{0xff})),
        pci_case("queue_notify_off is written", "4.1.4.3", Outcome::Refused, "it stays",
                 ignored_write(at(CommonField::queue_notify_off), std::uint16_t{0xffff})),
        pci_case(
            "queue_enable is written as 0", "4.1.4.3.2", Outcome::Refused, "the queue stays enabled",
            [](Attack& a) {
                a.pci().set(CommonField::queue_select, a.queue());
                ignored_write(at(CommonField::queue_enable), std::uint16_t{0})(a);
            },
            kQueues),
        from(Stage::Negotiated,
             pci_case(
                 "queue_enable is written as 2", "4.1.4.3.2", Outcome::Refused, "the queue is not enabled",
                 [](Attack& a) {
                     a.pci().set(CommonField::queue_select, a.queue());
                     a.pci().set(CommonField::queue_enable, std::uint16_t{2});
                     a.expect(a.pci().get<std::uint16_t>(CommonField::queue_enable) == 0, "it is enabled");
                 },
                 kDevices)),
        pci_case(
            "an address of a live queue is written", "4.1.4.3.2", Outcome::Refused, "it stays",
            [](Attack& a) {
                a.pci().set(CommonField::queue_select, a.queue());
                for (const CommonField field :
                     {CommonField::queue_desc, CommonField::queue_driver_high, CommonField::queue_device})
                    ignored_write(at(field), std::uint32_t{0x8000})(a);
            },
            kQueues),
        pci_case(
            "queue_reset is written as 2", "4.1.4.3.2", Outcome::Refused, "the queue stays",
            [](Attack& a) {
                a.pci().set(CommonField::queue_select, a.queue());
                a.pci().set(CommonField::queue_reset, std::uint16_t{2});
                a.expect(a.pci().get<std::uint16_t>(CommonField::queue_enable) == 1, "the queue was reset");
            },
            kDevices),
        without(VIRTIO_F_RING_RESET,
                pci_case(
                    "queue_reset without the feature", "2.6.1", Outcome::Refused, "the queue stays",
                    [](Attack& a) {
                        a.pci().set(CommonField::queue_select, a.queue());
                        a.pci().set(CommonField::queue_reset, std::uint16_t{1});
                        a.expect(a.pci().get<std::uint16_t>(CommonField::queue_enable) == 1,
                                 "the queue was reset");
                    },
                    kDevices)),
        dead(pci_case(
            "queue_reset while requests are in flight, and the queue is not set up again", "2.6.1",
            Outcome::Harmless, "the queue's memory is not touched any more",
            [](Attack& a) {
                (void)a.offer(a.good_chain());
                a.seal();
                a.driver().notify(a.queue());
                a.pci().set(CommonField::queue_select, a.queue());
                a.pci().set(CommonField::queue_reset, std::uint16_t{1});
                a.expect(a.pci().get<std::uint16_t>(CommonField::queue_enable) == 0, "the queue is enabled");
                a.verify();
                (void)a.offer(a.good_chain());
                const auto used = a.ring().used_index();
                a.kick();
                a.expect(a.ring().used_index() == used, "a request was used");
            },
            kQueues)),
        pci_case("queue_reset of a queue that does not exist", "2.6.1", Outcome::Refused, "nothing happens",
                 [](Attack& a) {
                     for (const std::uint16_t queue :
                          {a.victim().queue_count(), std::uint16_t{1023}, std::uint16_t{0xffff}}) {
                         a.pci().set(CommonField::queue_select, queue);
                         a.pci().set(CommonField::queue_reset, std::uint16_t{1});
                         a.expect(a.pci().get<std::uint16_t>(CommonField::queue_enable) == 0,
                                  "there is something");
                     }
                 }),
        pci_case("the interrupt status is written", "4.1.4.5", Outcome::Refused, "it is ignored",
                 [](Attack& a) {
                     const std::uint64_t isr = a.pci().modern_at() + kIsrRegion;
                     a.board().write(isr, std::uint8_t{0xff});
                     a.board().write(isr + 4, ~std::uint32_t{0});
                     a.expect(a.board().read<std::uint8_t>(isr) == 0, "bits are set");
                 }),
        pci_case("doorbells are read", "4.1.4.4", Outcome::Harmless, "zeros",
                 [](Attack& a) {
                     for (const std::uint32_t offset : {0u, 4u, 0xff8u})
                         a.expect(
                             a.board().read<std::uint64_t>(a.pci().modern_at() + kNotifyRegion + offset) == 0,
                             "there is something");
                 }),
        pci_case(
            "doorbells of every width, unaligned, with any value", "4.1.4.4", Outcome::Harmless,
            "they are doorbells of the queue at that place",
            [](Attack& a) {
                const std::uint64_t bell = a.pci().doorbell(a.queue());
                a.board().write(bell, std::uint8_t{0xff});
                a.board().write(bell + 1, std::uint16_t{0xffff});
                a.board().write(bell, ~std::uint32_t{0});
                a.board().write(bell + 2, ~std::uint64_t{0});
                a.board().write(a.pci().modern_at() + kModernBarSize - 8, ~std::uint64_t{0});
                (void)a.offer(a.good_chain());
                a.seal();
                a.board().write(bell, std::uint32_t{0xdead});
                if (a.target().kind == Kind::Net && a.queue() == kNetReceiveQueue)
                    a.victim().wire().send(frame_to(kTestMac, 60));
                (void)a.answer();
            },
            kQueues),
        pci_case("accesses across the regions and the end of the BAR", "4.1.4", Outcome::Refused,
                 "reads give nothing, writes nothing",
                 [](Attack& a) {
                     for (std::uint64_t border = kRegionSize; border <= kModernBarSize;
                          border += kRegionSize) {
                         const std::uint64_t across = a.pci().modern_at() + border - 4;
                         a.board().write(across, ~std::uint64_t{0});
                         const auto got = a.board().read<std::uint64_t>(across);
                         a.expect(got == 0 || got == ~std::uint64_t{0}, "there is something");
                     }
                     a.expect(a.pci().status() == kRunning, "the status has changed");
                 }),
        pci_case(
            "configuration with 8 bytes, unaligned", "4.1.3.1", Outcome::Harmless, "it is what its bytes are",
            [](Attack& a) {
                const std::uint64_t device = a.pci().modern_at() + kDeviceRegion;
                const auto whole = a.board().read<std::uint64_t>(device);
                a.expect(a.board().read<std::uint32_t>(device + 1) == static_cast<std::uint32_t>(whole >> 8),
                         "other bytes");
                a.board().write(device + 1, ~std::uint64_t{0});
                a.expect(a.board().read<std::uint64_t>(device) == whole, "the configuration has changed");
            }),
    };
}

} // namespace

std::vector<Case> pci_cases() {
    std::vector<Case> all = bars();
    for (std::vector<Case> more : {configuration(), msix(), registers()})
        all.insert(all.end(), more.begin(), more.end());
    return all;
}

} // namespace godwit::hostile
