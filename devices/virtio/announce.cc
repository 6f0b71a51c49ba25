// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/announce.h"

#include "vmm/base/bytes.h"

#include <algorithm>

namespace godwit::virtio {

std::array<std::byte, kRarpFrameSize> rarp_frame(const MacAddress& mac) {
    constexpr std::uint16_t kEtherTypeRarp = 0x8035;
    constexpr std::uint16_t kHardwareEthernet = 1, kProtocolIpv4 = 0x0800, kRequestReverse = 3;
    ByteWriter out;
    const auto address = std::as_bytes(std::span{mac});
    for (std::size_t i = 0; i < mac.size(); ++i)
        out.be(std::uint8_t{0xff});
    out.append(address);
    out.be(kEtherTypeRarp);
    out.be(kHardwareEthernet);
    out.be(kProtocolIpv4);
    out.be(static_cast<std::uint8_t>(mac.size()));
    out.be(std::uint8_t{4}); // length of a protocol address
    out.be(kRequestReverse);
    out.append(address); // sender
    out.zeros(4);
    out.append(address); // target
    out.zeros(4);

    std::array<std::byte, kRarpFrameSize> frame{};
    std::copy(out.bytes().begin(), out.bytes().end(), frame.begin());
    return frame;
}

Announcer::Announcer(Loop& loop, std::function<void()> announce)
    : announce_(std::move(announce)), timer_(loop.timer([this] { round(); })) {}

void Announcer::begin() {
    done_ = 0;
    round();
}

void Announcer::round() {
    ++done_;
    resume();
    announce_();
}

void Announcer::resume() {
    if (done_ < kAnnounceRounds)
        timer_->arm(announce_pause(std::max(done_, 1u)));
}

void Announcer::suspend() {
    timer_->disarm();
}

void Announcer::cancel() {
    done_ = kAnnounceRounds;
    timer_->disarm();
}

} // namespace godwit::virtio
