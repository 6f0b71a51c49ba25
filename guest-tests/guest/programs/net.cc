// SPDX-License-Identifier: Apache-2.0
#include "programs/net.h"

#include "base/options.h"
#include "machine/clock.h"
#include "programs/interrupt_mode.h"

namespace guest {

using namespace virtio::net;

namespace {

constexpr u32 default_ip = 10 << 24 | 2 << 8 | 15;

} // namespace

bool Net::start() {
    host_.ip = options.ipv4("net.ip", default_ip);
    if (!device_.attach(interrupt_mode()) || !restart()) {
        Failure("net", "no_usable_device");
        return false;
    }
    reinit_.begin();
    Report("net")
        .add_ipv4("ip", host_.ip)
        .add_mac("mac", host_.mac)
        .add("slot", device_.where())
        .add("link", link_up_ ? "up" : "down")
        .add_hex("features", device_.features());
    return true;
}

bool Net::restart() {
    if (!device_.begin(options.flag("net.csum", true), static_cast<u32>(options.bytes("net.rxbuf", 1024))))
        return false;
    checksum_offload_ = device_.has(VIRTIO_NET_F_CSUM);
    memcpy(host_.mac, device_.mac(), 6);
    if (device_.has(VIRTIO_NET_F_STATUS))
        link_up_ = (device_.read_status() & VIRTIO_NET_S_LINK_UP) != 0;
    announce();
    device_.kick();
    return true;
}

void Net::fail(std::string_view what) {
    ++errors_;
    stopped_ = true;
    Failure("net", what);
}

void Net::announce() {
    u8 frame[packet::arp_frame_size];
    packet::gratuitous_arp(frame, host_);
    if (!device_.send(frame, sizeof frame))
        ++send_failures_;
}

u64 Net::step(u64 now) {
    if (stopped_)
        return now + second;
    do
        receive_all();
    while (device_.arm_interrupt());
    device_.reclaim();
    watch_status();
    device_.kick();
    if (device_.broken())
        fail("broken_queue");
    if (reinit_.due(now)) {
        reinit_.did(now);
        if (!restart())
            fail("reinit");
    }
    return device_.polled() ? now + 500 * microsecond : now + second;
}

void Net::receive_all() {
    static constinit virtio::Frame frame{};
    constexpr int batch = 32;
    for (int i = 0; i < batch && device_.receive(frame); ++i)
        handle(frame);
    device_.kick();
}

void Net::handle(virtio::Frame& frame) {
    packet::Kind kind = packet::classify(frame.data, frame.length, host_, frame.checksum_known_good);
    switch (kind) {
    case packet::Kind::Other:
        ++other_;
        return;
    case packet::Kind::BadChecksum:
        ++bad_checksums_;
        return;
    case packet::Kind::ArpRequest:
        ++arp_;
        break;
    case packet::Kind::IcmpEcho:
        ++icmp_;
        break;
    case packet::Kind::UdpEcho:
        ++udp_;
        count_sequence(frame);
        break;
    }
    u32 length = packet::answer(frame.data, kind, host_, checksum_offload_);
    bool sent =
        kind == packet::Kind::UdpEcho && checksum_offload_
            ? device_.send(frame.data, length, packet::udp_checksum_start, packet::udp_checksum_offset)
            : device_.send(frame.data, length);
    send_failures_ += !sent;
}

void Net::count_sequence(const virtio::Frame& frame) {
    constexpr u32 payload = packet::udp_checksum_start + sizeof(packet::Udp), sequence_offset = 8;
    if (frame.length < payload + sequence_offset + sizeof(u64) ||
        memcmp(frame.data + payload, "GTSQ", 4) != 0)
        return;
    u64 sequence;
    memcpy(&sequence, frame.data + payload + sequence_offset, sizeof sequence);
    if (sequence < expected_sequence_) {
        ++repeated_;
        return;
    }
    lost_ += sequence - expected_sequence_;
    expected_sequence_ = sequence + 1;
}

void Net::watch_status() {
    if (device_.config_changed()) {
        if (device_.needs_reset())
            fail("device_needs_reset");
        u16 status = device_.has(VIRTIO_NET_F_STATUS) ? device_.read_status() : VIRTIO_NET_S_LINK_UP;
        bool up = (status & VIRTIO_NET_S_LINK_UP) != 0;
        link_changes_ += up != link_up_;
        link_up_ = up;
        announce_wanted_ |= (status & VIRTIO_NET_S_ANNOUNCE) != 0;
    }
    if (announce_wanted_ && device_.acknowledge_announce()) {
        announce_wanted_ = false;
        announce();
        Report("net").add("announce", ++announces_);
    }
}

void Net::print_status() const {
    Report("net")
        .add("arp", arp_)
        .add("icmp", icmp_)
        .add("udp", udp_)
        .add("lost", lost_)
        .add("repeated", repeated_)
        .add("other", other_)
        .add("bad_checksums", bad_checksums_)
        .add("merged", device_.merged())
        .add("oversized", device_.oversized())
        .add("send_failures", send_failures_)
        .add("announces", announces_)
        .add("announce_acks", device_.announces_acknowledged())
        .add("link_changes", link_changes_)
        .add("reinits", reinit_.done())
        .add("errors", errors_);
}

} // namespace guest
