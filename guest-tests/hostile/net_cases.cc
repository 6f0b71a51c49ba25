// SPDX-License-Identifier: Apache-2.0
//
// Frames, buffers and commands of the network device that are wrong (virtio 1.2 section 5.1.6), and requests
// of the entropy device (5.4.6).
#include "guest-tests/hostile/attack.h"
#include "guest-tests/hostile/tables.h"

namespace godwit::hostile {

using namespace virtio;

namespace {

constexpr std::uint64_t kFrame = 0x0000, kAnswer = 0x3000, kCommand = 0x4000;
constexpr std::uint32_t kFrameBytes = 60;
constexpr std::uint8_t kNothing = 0xee;

// ---- transmission

// Sends a frame of this length behind this header; what arrived on the wire.
Bytes sent_frame(Attack& a, const virtio_net_hdr& header, std::uint32_t bytes) {
    Bytes frame = frame_to(kTestMac, std::max(bytes, kFrameBytes));
    frame.resize(kNetHeaderFull + bytes);
    std::memcpy(frame.data(), &header, kNetHeaderFull);
    must(a.memory().write(a.scratch(kFrame), frame));
    Descriptors all{a.readable(a.scratch(kFrame), kNetHeaderFull)};
    if (bytes != 0)
        all.push_back(a.readable(a.scratch(kFrame + kNetHeaderFull), bytes));
    (void)a.offer(all);
    a.kick();
    (void)a.answer();
    return a.victim().wire().take();
}

Case dropped(std::string rule, virtio_net_hdr header, std::uint32_t bytes = kFrameBytes,
             std::uint64_t features_off = 0) {
    return {.rule = std::move(rule),
            .section = "5.1.6.2.1",
            .targets = kOnlyTx,
            .outcome = Outcome::Harmless,
            .effect = "the frame is dropped, its buffer is used",
            .act = [=](Attack& a) { a.expect(sent_frame(a, header, bytes).empty(), "the frame was sent"); },
            .options = {.features_off = features_off}};
}

Case sent(std::string rule, virtio_net_hdr header) {
    return {.rule = std::move(rule),
            .section = "5.1.6.2.1",
            .targets = kOnlyTx,
            .outcome = Outcome::Harmless,
            .effect = "it is not passed on, the frame is sent",
            .act = [=](Attack& a) {
                Bytes wanted = frame_to(kTestMac, kFrameBytes);
                a.expect(sent_frame(a, header, kFrameBytes) == wanted, "another frame was sent");
            }};
}

constexpr virtio_net_hdr segmented(std::uint8_t type, std::uint16_t size = 100,
                                   std::uint16_t header_bytes = 54) {
    return {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
            .gso_type = type,
            .hdr_len = header_bytes,
            .gso_size = size,
            .csum_start = 34,
            .csum_offset = 16};
}

constexpr virtio_net_hdr checksum(std::uint16_t start, std::uint16_t offset) {
    return {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = start, .csum_offset = offset};
}

// ---- commands

std::uint8_t answer_to(Attack& a, const Bytes& command) {
    must(a.memory().write(a.scratch(kCommand), command));
    must(a.memory().write(a.scratch(kAnswer), kNothing));
    (void)a.offer({a.readable(a.scratch(kCommand), static_cast<std::uint32_t>(command.size())),
                   a.writable(a.scratch(kAnswer), 1)});
    a.kick();
    (void)a.answer();
    return must(a.memory().read<std::uint8_t>(a.scratch(kAnswer)));
}

Case refused(std::string rule, std::string section, Bytes command, std::uint64_t features_off = 0) {
    return {.rule = std::move(rule),
            .section = std::move(section),
            .targets = kOnlyCtrl,
            .outcome = Outcome::Error,
            .effect = "VIRTIO_NET_ERR",
            .act = [=](Attack& a) { a.expect(answer_to(a, command) == VIRTIO_NET_ERR, "another answer"); },
            .options = {.features_off = features_off}};
}

// Offers what is wrong; the device needs a reset.
Case breaks(std::span<const Target> targets, std::string rule, std::string section,
            std::function<Descriptors(Attack&)> chain) {
    return {.rule = std::move(rule),
            .section = std::move(section),
            .targets = targets,
            .act = [chain = std::move(chain)](Attack& a) {
                (void)a.offer(chain(a));
                a.kick();
            }};
}

std::vector<Case> frames() {
    using D = Descriptors;
    constexpr std::uint8_t kEcn = VIRTIO_NET_HDR_GSO_ECN;
    return {
        breaks(kOnlyTx, "a transmit buffer shorter than the header", "5.1.6.2",
               [](Attack& a) { return D{a.readable(a.scratch(kFrame), kNetHeaderFull - 1)}; }),
        breaks(kOnlyTx, "a transmit buffer of 1 byte", "5.1.6.2",
               [](Attack& a) { return D{a.readable(a.scratch(kFrame), 1)}; }),
        breaks(kOnlyTx, "a transmit buffer that is only writable", "5.1.6.2",
               [](Attack& a) { return D{a.writable(a.scratch(kFrame), 72)}; }),
        dropped("a header and no frame", {}, 0),
        dropped("a frame shorter than an Ethernet header", {}, 13),
        {.rule = "a frame longer than any",
         .section = "5.1.6.2",
         .targets = kOnlyTx,
         .outcome = Outcome::Harmless,
         .effect = "the frame is dropped, its buffer is used",
         .act =
             [](Attack& a) {
                 must(a.memory().write(a.scratch(kFrame), frame_to(kTestMac, kFrameBytes)));
                 (void)a.offer({a.readable(a.scratch(kFrame), 0x8000), a.readable(a.scratch(kFrame), 0x8000),
                                a.readable(a.scratch(kFrame), 0x8000)});
                 a.kick();
                 (void)a.answer();
                 a.expect(a.victim().wire().take().empty(), "the frame was sent");
             }},
        dropped("csum_start behind the frame", checksum(kFrameBytes, 0)),
        dropped("csum_start + csum_offset in the frame's last byte", checksum(34, kFrameBytes - 35)),
        dropped("csum_start + csum_offset that wraps at 2^16", checksum(0xffff, 3)),
        dropped("csum_offset 0xffff", checksum(0, 0xffff)),
        dropped("a checksum to fill in, without the feature", checksum(34, 16), kFrameBytes,
                feature(VIRTIO_NET_F_CSUM)),
        dropped("segmentation type 2, which does not exist", segmented(2)),
        dropped("segmentation type 0x7f, which does not exist", segmented(0x7f)),
        dropped("ECN without a segmentation type", segmented(kEcn)),
        dropped("UDP segmentation with ECN", segmented(VIRTIO_NET_HDR_GSO_UDP | kEcn)),
        dropped("segments of no bytes", segmented(VIRTIO_NET_HDR_GSO_TCPV4, 0)),
        dropped("hdr_len behind the frame", segmented(VIRTIO_NET_HDR_GSO_TCPV4, 100, kFrameBytes + 1)),
        dropped("hdr_len 0xffff with segmentation", segmented(VIRTIO_NET_HDR_GSO_TCPV6, 100, 0xffff)),
        dropped("segmentation without a checksum to fill in",
                {.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .hdr_len = 54, .gso_size = 100}),
        dropped("TSO4 without the feature", segmented(VIRTIO_NET_HDR_GSO_TCPV4), kFrameBytes,
                feature(VIRTIO_NET_F_HOST_TSO4)),
        dropped("TSO6 without the feature", segmented(VIRTIO_NET_HDR_GSO_TCPV6), kFrameBytes,
                feature(VIRTIO_NET_F_HOST_TSO6)),
        dropped("UFO without the feature", segmented(VIRTIO_NET_HDR_GSO_UDP), kFrameBytes,
                feature(VIRTIO_NET_F_HOST_UFO)),
        dropped("ECN without the feature", segmented(VIRTIO_NET_HDR_GSO_TCPV4 | kEcn), kFrameBytes,
                feature(VIRTIO_NET_F_HOST_ECN)),
        sent("num_buffers in a transmit header", {.num_buffers = 0xffff}),
        sent("flags of the device in a transmit header", {.flags = 0xfe}),
        sent("hdr_len and gso_size without segmentation", {.hdr_len = 0xffff, .gso_size = 0xffff}),
        {.rule = "a writable part behind a frame to send",
         .section = "5.1.6.2",
         .targets = kOnlyTx,
         .outcome = Outcome::Harmless,
         .effect = "it is not written, the frame is sent",
         .act =
             [](Attack& a) {
                 Descriptors all = a.good_chain();
                 all.push_back({a.scratch(0x5000).value, 64, VIRTQ_DESC_F_WRITE, 0});
                 (void)a.offer(all);
                 a.kick();
                 (void)a.answer();
                 a.expect(a.victim().wire().take() == frame_to(kTestMac, kFrameBytes),
                          "another frame was sent");
             }},

        // ---- receive buffers
        breaks(kOnlyRx, "a receive buffer that is read-only", "5.1.6.3",
               [](Attack& a) { return D{a.readable(a.scratch(0x1000), 0x800)}; }),
        {.rule = "a receive buffer with a readable part before the writable one",
         .section = "5.1.6.3",
         .targets = kOnlyRx,
         .outcome = Outcome::Harmless,
         .effect = "the writable part is used",
         .act =
             [](Attack& a) {
                 (void)a.offer({a.readable(a.scratch(0), 16), a.writable(a.scratch(0x1000), 0x800)});
                 a.kick();
                 a.victim().wire().send(frame_to(kTestMac, kFrameBytes));
                 (void)a.answer();
             }},
        {.rule = "receive buffers of 1 byte",
         .section = "5.1.6.3.1",
         .targets = kOnlyRx,
         .outcome = Outcome::Harmless,
         .effect = "the frame waits for more",
         .act =
             [](Attack& a) {
                 for (std::uint32_t i = 0; i < 4; ++i)
                     (void)a.offer({a.writable(a.scratch(0x1000 + 16 * i), 1)});
                 a.kick();
                 a.victim().wire().send(frame_to(kTestMac, kFrameBytes));
                 a.settle();
                 a.expect(a.ring().used_index() == 0, "a buffer was used");
             }},
        {.rule = "a receive buffer that is too short, without mergeable buffers",
         .section = "5.1.6.3.1",
         .targets = kOnlyRx,
         .outcome = Outcome::Harmless,
         .effect = "frames are dropped until the driver makes room",
         .act =
             [](Attack& a) {
                 (void)a.offer({a.writable(a.scratch(0x1000), 20)});
                 a.kick();
                 a.victim().wire().send(frame_to(kTestMac, kFrameBytes));
                 a.settle();
                 a.expect(a.ring().used_index() == 0, "a buffer was used");
             },
         .options = {.features_off = feature(VIRTIO_NET_F_MRG_RXBUF)},
         .alive = false},
    };
}

std::vector<Case> commands() {
    using D = Descriptors;
    const auto with_count = [](unsigned count, unsigned addresses) {
        Bytes bytes = of({VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, count & 0xff, count >> 8 & 0xff,
                          count >> 16 & 0xff, count >> 24});
        bytes.resize(bytes.size() + 6 * addresses);
        return bytes;
    };
    return {
        breaks(kOnlyCtrl, "a command without memory for the answer", "5.1.6.5",
               [](Attack& a) { return D{a.readable(a.scratch(kCommand), 3)}; }),
        breaks(kOnlyCtrl, "an answer that is read-only", "5.1.6.5",
               [](Attack& a) {
                   return D{a.readable(a.scratch(kCommand), 3), a.readable(a.scratch(kAnswer), 1)};
               }),
        breaks(kOnlyCtrl, "an answer and no command", "5.1.6.5",
               [](Attack& a) { return D{a.writable(a.scratch(kAnswer), 1)}; }),
        breaks(kOnlyCtrl, "a command of 1 byte", "5.1.6.5",
               [](Attack& a) {
                   return D{a.readable(a.scratch(kCommand), 1), a.writable(a.scratch(kAnswer), 1)};
               }),
        refused("a class that does not exist (6)", "5.1.6.5", of({6, 0, 1})),
        refused("a class that does not exist (255)", "5.1.6.5", of({255, 0, 1})),
        refused("a class that was not negotiated (MQ)", "5.1.6.5.5", of({4, 0, 1, 0})),
        refused("a receive command that does not exist", "5.1.6.5.1", of({VIRTIO_NET_CTRL_RX, 6, 1})),
        refused("a receive mode without its byte", "5.1.6.5.1",
                of({VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC})),
        refused("a receive mode of 2 bytes", "5.1.6.5.1",
                of({VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1, 1})),
        refused("a receive mode without the feature", "5.1.6.5.1",
                of({VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1}), feature(VIRTIO_NET_F_CTRL_RX)),
        refused("an extra receive mode without the feature", "5.1.6.5.1",
                of({VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOBCAST, 1}), feature(VIRTIO_NET_F_CTRL_RX_EXTRA)),
        refused("a MAC command that does not exist", "5.1.6.5.2", of({VIRTIO_NET_CTRL_MAC, 2, 0})),
        refused("a table of addresses without counts", "5.1.6.5.2",
                of({VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET})),
        refused("a table of addresses with one count", "5.1.6.5.2", with_count(1, 1)),
        refused("a table with more addresses than it has bytes", "5.1.6.5.2", with_count(100, 2)),
        refused("a table of 2^32 - 1 addresses", "5.1.6.5.2", with_count(0xffffffff, 2)),
        refused("a table whose length wraps at 2^32", "5.1.6.5.2", with_count(0x2aaaaaab, 2)),
        refused("a MAC address of 5 bytes", "5.1.6.5.2",
                of({VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 2, 0, 0, 0, 1})),
        refused("a MAC address of 7 bytes", "5.1.6.5.2",
                of({VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 2, 0, 0, 0, 1, 2, 3})),
        refused("a MAC address of a group", "5.1.6.5.2",
                of({VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 1, 0, 0, 0, 1, 2})),
        refused("a MAC address without the feature", "5.1.6.5.2",
                of({VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 2, 0, 0, 0, 1, 2}),
                feature(VIRTIO_NET_F_CTRL_MAC_ADDR)),
        refused("VLAN 4096", "5.1.6.5.3", of({VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 0x00, 0x10})),
        refused("VLAN 65535", "5.1.6.5.3", of({VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, 0xff, 0xff})),
        refused("a VLAN of 1 byte", "5.1.6.5.3", of({VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 5})),
        refused("a VLAN command that does not exist", "5.1.6.5.3", of({VIRTIO_NET_CTRL_VLAN, 2, 5, 0})),
        refused("a VLAN without the feature", "5.1.6.5.3",
                of({VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 5, 0}), feature(VIRTIO_NET_F_CTRL_VLAN)),
        refused("an acknowledgement of no announcement", "5.1.6.5.4",
                of({VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK})),
        refused("an acknowledgement with data", "5.1.6.5.4",
                of({VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, 0})),
        refused("offloads that were not negotiated", "5.1.6.5.6",
                of({VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, 0xff, 0xff, 0xff,
                    0xff, 0xff, 0xff, 0xff, 0xff})),
        refused("offloads of 4 bytes", "5.1.6.5.6",
                of({VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, 0, 0, 0, 0})),
        refused(
            "offloads without the feature", "5.1.6.5.6",
            of({VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, 0, 0, 0, 0, 0, 0, 0, 0}),
            feature(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS)),
        {.rule = "a command longer than any",
         .section = "5.1.6.5",
         .targets = kOnlyCtrl,
         .outcome = Outcome::Error,
         .effect = "VIRTIO_NET_ERR",
         .act =
             [](Attack& a) {
                 must(a.memory().write(a.scratch(kCommand),
                                       of({VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1})));
                 (void)a.offer({a.readable(a.scratch(kCommand), 0x8000),
                                a.readable(a.scratch(kCommand), 0x8000), a.readable(a.scratch(kCommand), 2),
                                a.writable(a.scratch(kAnswer), 1)});
                 a.kick();
                 (void)a.answer();
                 a.expect(must(a.memory().read<std::uint8_t>(a.scratch(kAnswer))) == VIRTIO_NET_ERR,
                          "another answer");
             }},
        {.rule = "an answer of 64 bytes",
         .section = "5.1.6.5",
         .targets = kOnlyCtrl,
         .outcome = Outcome::Harmless,
         .effect = "its first byte is written",
         .act =
             [](Attack& a) {
                 must(a.memory().write(a.scratch(kCommand),
                                       of({VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, 1})));
                 a.may_write(a.scratch(kAnswer), 1);
                 (void)a.offer({a.readable(a.scratch(kCommand), 3),
                                {a.scratch(kAnswer).value, 64, VIRTQ_DESC_F_WRITE, 0}});
                 a.kick();
                 const auto used = a.answer();
                 a.expect(used.has_value() && used->len == 1, "another length");
                 a.expect(must(a.memory().read<std::uint8_t>(a.scratch(kAnswer))) == VIRTIO_NET_OK,
                          "another answer");
             }},
    };
}

std::vector<Case> entropy() {
    return {
        breaks(kOnlyRng, "an entropy request that is read-only", "5.4.6.1",
               [](Attack& a) { return Descriptors{a.readable(a.scratch(0), 64)}; }),
        breaks(kOnlyRng, "an entropy request with a readable part", "5.4.6.1",
               [](Attack& a) {
                   return Descriptors{a.readable(a.scratch(0), 64), a.writable(a.scratch(0x1000), 64)};
               }),
        {.rule = "an entropy request of 32 KiB",
         .section = "5.4.6.2",
         .targets = kOnlyRng,
         .outcome = Outcome::Harmless,
         .effect = "it gets 4096 bytes",
         .act =
             [](Attack& a) {
                 a.may_write(a.scratch(0), 4096);
                 (void)a.offer({{a.scratch(0).value, 0x8000, VIRTQ_DESC_F_WRITE, 0}});
                 a.kick();
                 const auto used = a.answer();
                 a.expect(used.has_value() && used->len == 4096, "another length");
             }},
    };
}

} // namespace

std::vector<Case> net_cases() {
    std::vector<Case> all = frames();
    for (std::vector<Case> more : {commands(), entropy()})
        all.insert(all.end(), more.begin(), more.end());
    return all;
}

} // namespace godwit::hostile
