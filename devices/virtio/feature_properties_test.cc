// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/feature_properties.h"

#include "devices/virtio/blk_fixture.h"
#include "devices/virtio/feature_names.h"
#include "devices/virtio/net.h"
#include "devices/virtio/net_fakes.h"

#include <bit>
#include <set>

namespace feature_properties_test {

using namespace godwit;
using namespace godwit::virtio;

namespace {

std::uint64_t all_of(std::uint16_t device_id) {
    std::uint64_t features = 0;
    for (const FeatureProperty& property : feature_properties(device_id))
        features |= feature(property.bit);
    return features;
}

} // namespace

TEST_CASE("the table of features has each name and bit once, and only what a device may offer") {
    for (const std::uint16_t device : {kDeviceNet, kDeviceBlock}) {
        std::set<std::string_view> names;
        for (const FeatureProperty& property : feature_properties(device)) {
            CHECK(names.insert(property.name).second);
            CHECK_FALSE(feature_name(device, property.bit).starts_with("feature bit"));
        }
        CHECK(static_cast<std::size_t>(std::popcount(all_of(device))) == names.size());
    }
    CHECK(feature_option(kDeviceNet, VIRTIO_NET_F_HOST_UFO) == "host_ufo=off");
    CHECK(feature_option(kDeviceBlock, VIRTIO_F_EVENT_IDX) == "event_idx=off");
    CHECK(feature_option(kDeviceBlock, VIRTIO_BLK_F_FLUSH).empty());
    CHECK(feature_option(kDeviceNet, VIRTIO_BLK_F_DISCARD) == "host_ecn=off"); // 13 has two meanings
}

TEST_CASE("what needs a feature that is off has no ground (virtio 1.2 section 5.1.3.1)") {
    const auto lost = [](std::initializer_list<unsigned> off) {
        std::uint64_t bits = 0;
        for (const unsigned bit : off)
            bits |= feature(bit);
        return features_without_ground(kDeviceNet, all_of(kDeviceNet) & ~bits, bits);
    };
    CHECK(lost({}) == 0);
    CHECK(lost({VIRTIO_NET_F_CSUM}) == (feature(VIRTIO_NET_F_HOST_TSO4) | feature(VIRTIO_NET_F_HOST_TSO6) |
                                        feature(VIRTIO_NET_F_HOST_ECN) | feature(VIRTIO_NET_F_HOST_UFO)));
    CHECK(lost({VIRTIO_NET_F_HOST_TSO4}) == 0); // ECN has the other
    CHECK(lost({VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6}) == feature(VIRTIO_NET_F_HOST_ECN));
    CHECK(std::popcount(lost({VIRTIO_NET_F_CTRL_VQ})) == 6);
    CHECK(features_without_ground(kDeviceBlock, all_of(kDeviceBlock), feature(0)) == 0);
}

TEST_CASE_METHOD(BlkFixture, "each feature of a disk that is off is not offered, and the others are") {
    const std::uint64_t all = core->offered_features();
    for (const FeatureProperty& property : feature_properties(kDeviceBlock)) {
        INFO(property.name);
        CHECK(has_feature(all, property.bit));
        const auto one = must(Blk::create(*loop, must(BlkImage::open(path, false)),
                                          {.id = "one", .features_off = feature(property.bit)}));
        Core its{*one, *ram};
        CHECK(its.offered_features() == (all & ~feature(property.bit)));
    }
}

TEST_CASE("each feature of a network interface that is off is not offered, and the others are") {
    const TestRam memory;
    const auto loop = must(Loop::create());
    Wire wire;
    const auto offered = [&](std::uint64_t off) {
        const auto net =
            must(Net::create({.features_off = off}, std::make_unique<SocketBackend>(wire), *loop));
        return Core{*net, *memory.ram}.offered_features();
    };
    const std::uint64_t all = offered(0);
    for (const FeatureProperty& property : feature_properties(kDeviceNet)) {
        INFO(property.name);
        CHECK(has_feature(all, property.bit));
        CHECK(offered(feature(property.bit)) == (all & ~feature(property.bit)));
    }
}

// Its has_ufo would be refused by a host without (kernels from 4.14 to 6.1).
TEST_CASE("an interface with UFO turned off can move to a host that has none") {
    const auto loop = must(Loop::create());
    Wire here, there;
    constexpr auto kUfo = feature(VIRTIO_NET_F_GUEST_UFO) | feature(VIRTIO_NET_F_HOST_UFO);
    const auto loads = [&](std::uint64_t off) {
        const auto source =
            must(Net::create({.features_off = off}, std::make_unique<SocketBackend>(here), *loop));
        const auto target = must(Net::create({}, std::make_unique<SocketBackend>(there, false), *loop));
        StateWriter writer{"virtio-net", 11};
        must(source->save_device(writer, 0));
        ByteReader in{writer.bytes()};
        StateReader reader{in, "virtio-net"};
        must(target->load_device(reader, 0));
        return target->check_loaded(0).ok();
    };
    CHECK_FALSE(loads(0));
    CHECK_FALSE(loads(feature(VIRTIO_NET_F_HOST_UFO)));
    CHECK(loads(kUfo));
}

TEST_CASE("a disk without discard and zeroes has no limits of them") {
    const TestImage image;
    const auto loop = must(Loop::create());
    const auto disk = must(
        Blk::create(*loop, must(BlkImage::open(image.path, false)),
                    {.features_off = feature(VIRTIO_BLK_F_DISCARD) | feature(VIRTIO_BLK_F_WRITE_ZEROES)}));
    CHECK(disk->config().max_discard_sectors == 0);
    CHECK(disk->config().max_write_zeroes_sectors == 0);
}

} // namespace feature_properties_test
