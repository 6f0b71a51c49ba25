// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/hostile/attack.h"

#include <algorithm>
#include <cstring>

namespace godwit::hostile {

using namespace virtio;

Attack::Attack(Machine& machine, Target target, Transport transport)
    : machine_(machine), target_(target), transport_(transport), given_(machine.transport_memory()) {
    if (transport == Transport::Pci)
        pci_.emplace(machine.pci_board(), kVictimSlot);
    may_write(Gpa{kBystanderMemory}, Station::kRegion);
    for (std::uint16_t i = 0; i < victim().queue_count(); ++i)
        may_write(victim().ring(i).addresses().device, 6 + 8u * victim().ring(i).size());
}

// ---- chains

virtq_desc Attack::writable(Gpa at, std::uint32_t length) {
    may_write(at, length);
    return {at.value, length, VIRTQ_DESC_F_WRITE, 0};
}

Descriptors Attack::good_chain() {
    const Gpa first = scratch(0), second = scratch(0x1000), third = scratch(0x2000);
    switch (target_.kind) {
    case Kind::Blk:
        must(memory().write(first, virtio_blk_req_header{VIRTIO_BLK_T_IN, 0, 2}));
        return {readable(first, sizeof(virtio_blk_req_header)), writable(second, kSectorSize),
                writable(third, 1)};
    case Kind::Rng:
        return {writable(second, 64)};
    case Kind::Net:
        break;
    }
    if (target_.queue == kNetReceiveQueue)
        return {writable(second, 0x800)};
    if (target_.queue == kNetTransmitQueue) {
        must(memory().write(first, frame_to(kTestMac, 60)));
        return {readable(first, kNetHeaderFull), readable(Gpa{first.value + kNetHeaderFull}, 60)};
    }
    must(memory().write(first, of({VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, 1})));
    return {readable(first, 3), writable(third, 1)};
}

std::uint16_t Attack::offer(const Descriptors& chain) {
    auto builder = ring().chain();
    for (const virtq_desc& desc : chain)
        builder.add(desc);
    return builder.offer();
}

void Attack::offer_indirect(const Descriptors& chain, Gpa table) {
    auto builder = ring().chain();
    for (const virtq_desc& desc : chain)
        builder.add(desc);
    builder.offer_indirect(table);
}

void Attack::kick() {
    kick(queue());
}

void Attack::kick(std::uint16_t queue) {
    seal();
    driver().notify(queue);
    settle();
    verify();
}

void Attack::settle() {
    for (int i = 0; i < 2; ++i)
        machine_.turn();
}

std::optional<virtq_used_elem> Attack::answer() {
    return answer(queue());
}

std::optional<virtq_used_elem> Attack::answer(std::uint16_t queue) {
    const auto used = victim().wait_used(queue, kPatience);
    expect(used.has_value(), "the request was not used");
    verify();
    return used;
}

void Attack::expect_used() {
    if (target_.kind == Kind::Net && target_.queue == kNetReceiveQueue)
        victim().wire().send(frame_to(kTestMac, 60));
    (void)answer();
}

void Attack::serve(const Descriptors& chain) {
    (void)offer(chain);
    kick();
    expect_used();
}

Descriptors Attack::filled_at(Gpa at) {
    Descriptors all = good_chain();
    virtq_desc& data = all.size() == 1 ? all.front() : all.at(1);
    may_write(at, data.len);
    data.addr = at.value;
    return all;
}

std::uint8_t Attack::blk(std::uint32_t type, std::uint64_t sector, const Descriptors& parts) {
    constexpr std::uint8_t kNothing = 0xee;
    const Gpa header = scratch(0x3000), status = scratch(0x3100);
    must(memory().write(header, virtio_blk_req_header{type, 0, sector}));
    must(memory().write(status, kNothing));
    Descriptors chain{readable(header, sizeof(virtio_blk_req_header))};
    chain.insert(chain.end(), parts.begin(), parts.end());
    chain.push_back(writable(status, 1));
    (void)offer(chain);
    kick();
    (void)answer();
    return must(memory().read<std::uint8_t>(status));
}

// ---- judging

void Attack::expect(bool held, std::string_view what) {
    if (!held)
        wrong_.emplace_back(what);
}

void Attack::seal() {
    sealed_.resize(memory().size());
    must(memory().read(Gpa{0}, sealed_));
}

// Copies the ranges that may have changed over the sealed bytes, and compares all. Again where they differ:
// the device may have written to such a range in between.
void Attack::verify() {
    const std::byte* const now = memory().host(RamOffset{});
    for (int look = 0; look < 3; ++look) {
        for (const Range& range : given_)
            if (range.at.value < memory().size()) {
                const auto length = std::min(range.length, memory().size() - range.at.value);
                must(memory().read(range.at, std::span{sealed_}.subspan(range.at.value, length)));
            }
        if (std::memcmp(sealed_.data(), now, sealed_.size()) == 0)
            return;
    }
    const auto at = std::mismatch(sealed_.begin(), sealed_.end(), now).first - sealed_.begin();
    expect(false, fmt::format("guest memory at {:#x} was written, which the driver had not given", at));
    seal();
}

} // namespace godwit::hostile
