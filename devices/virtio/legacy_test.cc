// SPDX-License-Identifier: Apache-2.0
//
// Drivers of the legacy interface: negotiation, and everything that has the byte order of a big-endian one.
// How a driver comes to be a legacy one is its transport's affair.
#include "devices/virtio/blk_fixture.h"
#include "devices/virtio/config_order.h"
#include "devices/virtio/net_ctrl.h"
#include "devices/virtio/net_fakes.h"

#include <numeric>

namespace legacy_test {

using namespace godwit;
using namespace godwit::virtio;

namespace {

constexpr auto kBig = DeviceEndian::Big;

// A ring of one chain at a time, as a big-endian driver keeps it.
class BigRing {
  public:
    BigRing(GuestMemory& memory, const QueueAddresses& at) : memory_(memory), at_(at) {}
    void desc(std::uint16_t index, Gpa at, std::uint32_t length, std::uint16_t flags) {
        const virtq_desc desc{at.value, length, flags, static_cast<std::uint16_t>(index + 1)};
        must(memory_.write(Gpa{at_.desc.value + 16u * index}, in_order(desc, kBig)));
    }
    void offer() {
        put(Gpa{at_.driver.value + 4 + 2u * (offered_ % 16)}, std::uint16_t{0});
        put(Gpa{at_.driver.value + 2}, ++offered_);
    }
    std::uint16_t used() const { return get<std::uint16_t>(Gpa{at_.device.value + 2}); }
    std::uint32_t used_bytes() const {
        return get<std::uint32_t>(Gpa{at_.device.value + 4 + 8u * ((used() - 1u) % 16) + 4});
    }
    template <class T>
    void put(Gpa at, T value) {
        must(memory_.write(at, in_order(value, kBig)));
    }
    template <class T>
    T get(Gpa at) const {
        return in_order(must(memory_.read<T>(at)), kBig);
    }

  private:
    GuestMemory& memory_;
    QueueAddresses at_;
    std::uint16_t offered_ = 0;
};

} // namespace

TEST_CASE_METHOD(TestRam, "a legacy driver needs neither FEATURES_OK nor VERSION_1") {
    CoreUnderTest m{*ram};
    m.transport.legacy_driver = true;
    m.core.set_status(ACKNOWLEDGE | DRIVER);
    m.core.set_driver_features(feature(9));
    m.set_up(0, m.first);
    SECTION("without") {
        m.driver_ok();
        CHECK(m.core.running());
        CHECK(m.device.negotiated == feature(9));
        m.core.set_driver_features(0);
        CHECK(m.core.driver_features() == feature(9)); // it is too late
    }
    SECTION("with FEATURES_OK all the same") {
        m.core.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        CHECK(m.core.status() == (ACKNOWLEDGE | DRIVER | FEATURES_OK));
        m.driver_ok();
        CHECK(m.core.running());
    }
    SECTION("but nothing that was not offered") {
        m.core.set_driver_features(feature(5));
        m.driver_ok();
        CHECK_FALSE(m.core.running());
        CHECK(m.core.status() == (ACKNOWLEDGE | DRIVER));
    }
    SECTION("unless the transport has no such drivers") {
        m.transport.legacy_driver = false;
        m.driver_ok();
        CHECK(m.core.status() == (ACKNOWLEDGE | DRIVER));
    }
}

TEST_CASE("configuration space is turned round field by field") {
    const std::array<std::uint8_t, 3> widths{1, 2, 4};
    std::vector<std::byte> config;
    for (int i = 0; i < 8; ++i)
        config.push_back(static_cast<std::byte>(i));
    SECTION("whole") {
        swap_config(widths, config);
        CHECK(config == of({0, 2, 1, 6, 5, 4, 3, 7}));
    }
    SECTION("a field that is cut off stays") {
        config.resize(5);
        swap_config(widths, config);
        CHECK(config == of({0, 2, 1, 3, 4}));
    }
    const auto bytes = [](const auto& fields) { return std::accumulate(fields.begin(), fields.end(), 0u); };
    CHECK(bytes(kBlkConfigFields) == sizeof(virtio_blk_config));
    CHECK(bytes(kNetConfigFields) == sizeof(virtio_net_config));
}

TEST_CASE("a big-endian driver reads and writes a disk") {
    BlkFixture m;
    m.core->set_status(0);
    m.transport.legacy_driver = true;
    m.core->set_device_endian(kBig);
    m.core->set_status(ACKNOWLEDGE | DRIVER);
    m.core->set_driver_features(feature(VIRTIO_BLK_F_FLUSH) | feature(VIRTIO_BLK_F_WRITE_ZEROES));
    must(m.ram->write(Gpa{0x10000}, std::vector<std::byte>(0x2000)));
    m.core->set_queue_addresses(0, m.driver.addresses());
    m.core->enable_queue(0);
    m.core->set_status(ACKNOWLEDGE | DRIVER | DRIVER_OK);
    REQUIRE(m.core->running());
    BigRing ring{*m.ram, m.driver.addresses()};

    const auto request = [&](std::uint32_t type, std::uint64_t sector, std::uint32_t bytes, bool in) {
        must(m.ram->write(kHeader, in_order(virtio_blk_req_header{type, 0, sector}, kBig)));
        must(m.ram->write(kStatus, kUntouched));
        ring.desc(0, kHeader, 16, VIRTQ_DESC_F_NEXT);
        ring.desc(1, kData, bytes, in ? VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE : VIRTQ_DESC_F_NEXT);
        ring.desc(2, kStatus, 1, VIRTQ_DESC_F_WRITE);
        const std::uint16_t before = ring.used();
        ring.offer();
        m.kick();
        for (int i = 0; i < 1000 && ring.used() == before; ++i)
            m.turn();
        return m.status();
    };
    CHECK(request(VIRTIO_BLK_T_IN, 7, 512, true) == VIRTIO_BLK_S_OK);
    CHECK(must(m.ram->read<std::uint64_t>(kData)) == 7); // what is on the disk has no byte order
    CHECK(ring.used_bytes() == 513);
    must(m.ram->write(kData, std::uint64_t{0x1122}));
    CHECK(request(VIRTIO_BLK_T_OUT, 9, 512, false) == VIRTIO_BLK_S_OK);
    CHECK(m.TestImage::read(9, 2) == of({0x22, 0x11}));
    must(m.ram->write(kData, in_order(virtio_blk_discard_write_zeroes{9, 1, 0}, kBig)));
    CHECK(request(VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, false) == VIRTIO_BLK_S_OK);
    CHECK(m.TestImage::read(9, 2) == of({0, 0}));

    std::array<std::byte, 8> capacity{};
    m.core->read_config(0, capacity);
    CHECK(load_be<std::uint64_t>(capacity) == kSectors);
    CHECK(request(0x11223344, 0, 512, true) == VIRTIO_BLK_S_UNSUPP);
}

TEST_CASE("the network header of a big-endian legacy driver") {
    constexpr std::uint64_t kFeatures = feature(VIRTIO_NET_F_CSUM) | feature(VIRTIO_NET_F_MAC);
    NetRig rig{kFeatures};
    rig.negotiate();
    for (std::size_t i = 0; i < 3; ++i)
        rig.queues.at(i).emplace(must(SplitQueue::create(
            *rig.memory, {.size = rig.drivers.at(i).size(), .addresses = rig.drivers.at(i).addresses()}, 0)));
    const std::array<SplitQueue*, 3> queues{&*rig.queues[0], &*rig.queues[1], &*rig.queues[2]};
    must(rig.net->start({.features = kFeatures, .endian = kBig, .queues = queues, .host = &rig.host}));
    CHECK(rig.wire.header_size == kNetHeaderShort);

    Bytes frame = frame_to(kTestMac, 100);
    frame.erase(frame.begin(), frame.begin() + 2); // the short header
    virtio_net_hdr header{};
    header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header.csum_start = 34;
    header.csum_offset = 6;
    const auto with = [&frame](const virtio_net_hdr& head) {
        Bytes bytes = frame;
        std::memcpy(bytes.data(), &head, kNetHeaderShort);
        return bytes;
    };
    transmit(rig, with(in_order(header, kBig)));
    CHECK(rig.wire.take() == with(header)); // the host's own order

    post_buffers(rig, 1, 2048, Gpa{0x200000});
    rig.wire.send(with(header));
    rig.net->queue_notified(kNetReceiveQueue);
    REQUIRE(rig.rx().take_used().has_value());
    CHECK(rig.bytes_at(Gpa{0x200000}, frame.size()) == with(in_order(header, kBig)));
}

TEST_CASE("control commands of a big-endian driver") {
    NetState state = initial_net_state(kTestMac, true);
    constexpr std::uint64_t kAll = kUsualFeatures;
    reset_vlan_filter(state, kAll);
    CHECK(handle_control(state, kAll, of({VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 0x01, 0x02}),
                         kBig) == VIRTIO_NET_OK);
    CHECK(state.vlans[0x102 / 8] == std::byte{1 << (0x102 % 8)});
    CHECK(handle_control(state, kAll,
                         of({VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7,
                             0, 0, 0, 0}),
                         kBig) == VIRTIO_NET_OK);
    CHECK(state.mac_table_in_use == 1);
    CHECK(handle_control(state, kAll,
                         of({VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, 0, 0, 0, 0,
                             0, 0, 0, 2}),
                         kBig) == VIRTIO_NET_OK);
    CHECK(state.curr_guest_offloads == feature(VIRTIO_NET_F_GUEST_CSUM));
}

} // namespace legacy_test
