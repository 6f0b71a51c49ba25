// SPDX-License-Identifier: Apache-2.0
#include "programs/packet.h"

#include <algorithm>

namespace guest::packet {
namespace {

constexpr u16 arp_request = 1, arp_reply = 2, echo_port = 7;
constexpr u8 icmp_echo = 8, icmp_echo_reply = 0;
constexpr u8 broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

template <class T>
T& at(u8* frame, u32 offset) {
    return *reinterpret_cast<T*>(frame + offset);
}
template <class T>
const T& at(const u8* frame, u32 offset) {
    return *reinterpret_cast<const T*>(frame + offset);
}

constexpr u32 ip_at = sizeof(Ethernet), payload_at = ip_at + sizeof(Ipv4);

u16 payload_length(const Ipv4& ip) {
    return static_cast<u16>(swap16(ip.total_length) - sizeof(Ipv4));
}

Kind classify_ipv4(const u8* frame, u32 length, const Host& host, bool trust) {
    if (length < payload_at + sizeof(Udp))
        return Kind::Other;
    const Ipv4& ip = at<Ipv4>(frame, ip_at);
    u32 total = swap16(ip.total_length);
    constexpr u16 fragment_bits = 0x3fff;
    if (ip.version_and_words != 0x45 || (swap16(ip.fragment) & fragment_bits) != 0 ||
        swap32(ip.to) != host.ip || total < sizeof(Ipv4) + sizeof(Udp) || total > length - ip_at)
        return Kind::Other;
    if (sum(&ip, sizeof ip) != 0xffff)
        return Kind::BadChecksum;
    u16 size = payload_length(ip);
    if (ip.protocol == protocol_icmp) {
        if (at<Icmp>(frame, payload_at).type != icmp_echo)
            return Kind::Other;
        return trust || sum(frame + payload_at, size) == 0xffff ? Kind::IcmpEcho : Kind::BadChecksum;
    }
    const Udp& udp = at<Udp>(frame, payload_at);
    if (ip.protocol != protocol_udp || swap16(udp.to) != echo_port || swap16(udp.length) != size)
        return Kind::Other;
    if (trust || udp.checksum == 0)
        return Kind::UdpEcho;
    return sum(frame + payload_at, size, pseudo_header_sum(ip, size)) == 0xffff ? Kind::UdpEcho
                                                                                : Kind::BadChecksum;
}

void answer_arp(u8* frame, const Host& host) {
    Arp& arp = at<Arp>(frame, sizeof(Ethernet));
    arp.operation = swap16(arp_reply);
    memcpy(arp.target_mac, arp.sender_mac, 6);
    arp.target_ip = arp.sender_ip;
    memcpy(arp.sender_mac, host.mac, 6);
    arp.sender_ip = swap32(host.ip);
}

void answer_icmp(u8* frame) {
    Icmp& icmp = at<Icmp>(frame, payload_at);
    icmp.type = icmp_echo_reply;
    icmp.checksum = 0;
    icmp.checksum = static_cast<u16>(~sum(&icmp, payload_length(at<Ipv4>(frame, ip_at))));
}

void answer_udp(u8* frame, bool offload) {
    const Ipv4& ip = at<Ipv4>(frame, ip_at);
    Udp& udp = at<Udp>(frame, payload_at);
    udp.to = udp.from;
    udp.from = swap16(echo_port);
    u16 size = payload_length(ip), pseudo = pseudo_header_sum(ip, size);
    udp.checksum = pseudo;
    if (offload)
        return;
    udp.checksum = 0;
    u16 checksum = static_cast<u16>(~sum(&udp, size, pseudo));
    udp.checksum = checksum == 0 ? u16{0xffff} : checksum;
}

} // namespace

u16 sum(const void* data, u32 length, u32 start) {
    const auto* bytes = static_cast<const u8*>(data);
    u64 total = start;
    for (; length >= 2; length -= 2, bytes += 2)
        total += static_cast<u32>(bytes[0] | bytes[1] << 8);
    if (length == 1)
        total += *bytes;
    while (total > 0xffff)
        total = (total & 0xffff) + (total >> 16);
    return static_cast<u16>(total);
}

u16 pseudo_header_sum(const Ipv4& ip, u16 payload_length) {
    struct [[gnu::packed]] {
        u32 from, to;
        u8 zero, protocol;
        u16 length;
    } pseudo{ip.from, ip.to, 0, ip.protocol, swap16(payload_length)};
    return sum(&pseudo, sizeof pseudo);
}

Kind classify(const u8* frame, u32 length, const Host& host, bool trust) {
    if (length < arp_frame_size)
        return Kind::Other;
    const Ethernet& ethernet = at<Ethernet>(frame, 0);
    if (memcmp(ethernet.to, host.mac, 6) != 0 && memcmp(ethernet.to, broadcast, 6) != 0)
        return Kind::Other;
    if (ethernet.type == swap16(type_ipv4))
        return classify_ipv4(frame, length, host, trust);
    const Arp& arp = at<Arp>(frame, sizeof(Ethernet));
    bool asks_us = ethernet.type == swap16(type_arp) && arp.operation == swap16(arp_request) &&
                   swap32(arp.target_ip) == host.ip && swap32(arp.sender_ip) != host.ip;
    return asks_us ? Kind::ArpRequest : Kind::Other;
}

u32 answer(u8* frame, Kind kind, const Host& host, bool offload) {
    Ethernet& ethernet = at<Ethernet>(frame, 0);
    memcpy(ethernet.to, ethernet.from, 6);
    memcpy(ethernet.from, host.mac, 6);
    if (kind == Kind::ArpRequest) {
        answer_arp(frame, host);
        return arp_frame_size;
    }
    Ipv4& ip = at<Ipv4>(frame, ip_at);
    ip.to = ip.from;
    ip.from = swap32(host.ip);
    ip.ttl = 64;
    ip.checksum = 0;
    ip.checksum = static_cast<u16>(~sum(&ip, sizeof ip));
    if (kind == Kind::IcmpEcho)
        answer_icmp(frame);
    else
        answer_udp(frame, offload);
    return ip_at + swap16(ip.total_length);
}

void gratuitous_arp(u8* frame, const Host& host) {
    Ethernet& ethernet = at<Ethernet>(frame, 0);
    memcpy(ethernet.to, broadcast, 6);
    memcpy(ethernet.from, host.mac, 6);
    ethernet.type = swap16(type_arp);
    Arp& arp = at<Arp>(frame, sizeof(Ethernet));
    arp = {swap16(1), swap16(type_ipv4), 6, 4, swap16(arp_request), {}, swap32(host.ip), {}, swap32(host.ip)};
    memcpy(arp.sender_mac, host.mac, 6);
}

} // namespace guest::packet
