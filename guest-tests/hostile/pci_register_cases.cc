// SPDX-License-Identifier: Apache-2.0
//
// MSI-X (PCI 3.0 section 6.8.2) and the registers of the modern BAR (virtio 1.2 section 4.1.4).
#include "guest-tests/hostile/attack.h"
#include "guest-tests/hostile/pci_case.h"
#include "guest-tests/hostile/tables.h"

namespace godwit::hostile {

using namespace pci;
using namespace virtio;

namespace {

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

std::vector<Case> msix() {
    const auto table = [](Attack& a, std::uint32_t vector) { return a.pci().msix_at() + 16 * vector; };
    return {
        pci_case(
            "a vector that does not exist, for a queue", "4.1.5.1.2", Outcome::Refused,
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
            "a vector that does not exist, for configuration changes", "4.1.5.1.2", Outcome::Refused,
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
                a.expect_used();
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

std::vector<Case> pci_register_cases() {
    std::vector<Case> all = msix();
    const std::vector<Case> more = registers();
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

} // namespace godwit::hostile
