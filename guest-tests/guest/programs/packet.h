// SPDX-License-Identifier: Apache-2.0
#pragma once
// Ethernet, ARP, IPv4, ICMP and UDP, as far as answering needs them.
// Each answer is made by turning the request around in place.
#include "base/types.h"

namespace guest::packet {

constexpr u16 swap16(u16 v) {
    return static_cast<u16>(v << 8 | v >> 8);
}
constexpr u32 swap32(u32 v) {
    return __builtin_bswap32(v);
}

struct [[gnu::packed]] Ethernet {
    u8 to[6], from[6];
    u16 type;
};
struct [[gnu::packed]] Arp {
    u16 hardware_type, protocol_type;
    u8 hardware_size, protocol_size;
    u16 operation;
    u8 sender_mac[6];
    u32 sender_ip;
    u8 target_mac[6];
    u32 target_ip;
};
struct [[gnu::packed]] Ipv4 {
    u8 version_and_words, service;
    u16 total_length, id, fragment;
    u8 ttl, protocol;
    u16 checksum;
    u32 from, to;
};
struct [[gnu::packed]] Icmp {
    u8 type, code;
    u16 checksum;
};
struct [[gnu::packed]] Udp {
    u16 from, to, length, checksum;
};
static_assert(sizeof(Ethernet) == 14 && sizeof(Arp) == 28 && sizeof(Ipv4) == 20 && sizeof(Udp) == 8);

constexpr u16 type_arp = 0x0806, type_ipv4 = 0x0800;
constexpr u8 protocol_icmp = 1, protocol_udp = 17;
constexpr u32 arp_frame_size = sizeof(Ethernet) + sizeof(Arp);

// RFC 1071.  The sum is folded but not inverted; feed a former one to continue.
u16 sum(const void* data, u32 length, u32 start = 0);
u16 pseudo_header_sum(const Ipv4& ip, u16 payload_length);

enum class Kind { Other, ArpRequest, IcmpEcho, UdpEcho, BadChecksum };

struct Host {
    u8 mac[6];
    u32 ip; // host byte order
};

// What the frame is to us.  `trust`: the checksum above IPv4 need not be looked at.
Kind classify(const u8* frame, u32 length, const Host& host, bool trust);

// Turns the frame into its answer.  For UDP with `offload` the checksum is left to the device.
constexpr u32 udp_checksum_start = sizeof(Ethernet) + sizeof(Ipv4), udp_checksum_offset = 6;
u32 answer(u8* frame, Kind kind, const Host& host, bool offload); // length of the answer

void gratuitous_arp(u8* frame, const Host& host);

} // namespace guest::packet
