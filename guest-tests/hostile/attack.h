// SPDX-License-Identifier: Apache-2.0
//
// What a case does is written with this: the attacked device, its rings, any register, and a notebook for
// what is not as it should be. Guest memory is compared with a copy: seal() takes it, verify() compares. Only
// what the driver gave may have changed.
#pragma once

#include "guest-tests/hostile/case.h"
#include "guest-tests/hostile/ccw_machine.h"
#include "guest-tests/hostile/pci_machine.h"

namespace godwit::hostile {

using Descriptors = std::vector<virtio::virtq_desc>;
inline constexpr std::chrono::milliseconds kPatience{5000};

class Attack {
  public:
    Attack(Machine& machine, Target target, Transport transport);

    Machine& machine() { return machine_; }
    Station& victim() { return machine_.victim(); }
    Driver& driver() { return victim().driver(); }
    GuestMemory& memory() { return machine_.memory(); }
    Target target() const { return target_; }
    std::uint16_t queue() const { return target_.queue; }
    virtio::FakeDriver& ring() { return victim().ring(target_.queue); }
    bool on(Transport transport) const { return transport_ == transport; }
    // Memory for this case.
    Gpa scratch(std::uint64_t offset) { return victim().at(Station::kScratch + offset); }
    // The end of RAM, and an address that belongs to registers.
    std::uint64_t ram_end() { return memory().size(); }
    std::uint64_t mmio() const { return on(Transport::Pci) ? pci::testing::kEcam : ccw::testing::kWindow; }

    // ---- PCI: registers of the attacked function; channel I/O: the guest's operations
    pci::testing::PciDriver& pci() { return *pci_; }
    pci::testing::Board& board() { return machine_.pci_board(); }
    ccw::testing::Guest& guest() { return machine_.ccw_guest(); }
    // One command for the attacked device.
    ccw::testing::Response command(std::uint8_t code, std::span<const std::byte> data,
                                   std::uint8_t flags = 0) {
        return run_command(guest(), kVictimSchid, code, data, flags);
    }

    // ---- chains

    // A request to this queue that is good, ready to be spoiled. Its writable parts may be written.
    Descriptors good_chain();
    // Links it, places it behind those before, and offers it.
    std::uint16_t offer(const Descriptors& chain);
    // The same through an indirect table at `table`.
    void offer_indirect(const Descriptors& chain, Gpa table);
    // Rings, and lets the device do what it does at once; the memory is verified then.
    void kick();
    void kick(std::uint16_t queue);
    // What the device used next; notes when nothing comes.
    std::optional<virtio::virtq_used_elem> answer();
    std::optional<virtio::virtq_used_elem> answer(std::uint16_t queue);
    // The same for the queue that is attacked; a receive queue gets a frame from the host first.
    void expect_used();
    // Offers a chain, rings, and waits until it is used.
    void serve(const Descriptors& chain);
    // A good chain with its data at `at`, where the device may write.
    Descriptors filled_at(Gpa at);
    // Turns of the loop in which everything that is due happens.
    void settle();

    // ---- block requests

    // Offers a request with this header and these parts behind it, then a status byte; the status it got.
    std::uint8_t blk(std::uint32_t type, std::uint64_t sector, const Descriptors& parts);
    virtio::virtq_desc readable(Gpa at, std::uint32_t length) const { return {at.value, length, 0, 0}; }
    virtio::virtq_desc writable(Gpa at, std::uint32_t length);

    // ---- judging

    // The device may write here.
    void may_write(Gpa at, std::uint64_t length) { given_.push_back({at, length}); }
    void seal();
    void verify();
    void expect(bool held, std::string_view what);
    const std::vector<std::string>& wrong() const { return wrong_; }

  private:
    Machine& machine_;
    const Target target_;
    const Transport transport_;
    std::optional<pci::testing::PciDriver> pci_;
    std::vector<Range> given_;
    Bytes sealed_;
    std::vector<std::string> wrong_;
};

} // namespace godwit::hostile
