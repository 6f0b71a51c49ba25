// SPDX-License-Identifier: Apache-2.0
//
// The life of a block device: draining, reset, configuration, migration.
#include "devices/virtio/blk_fixture.h"

namespace blk_device_test {

using namespace godwit;
using namespace godwit::virtio;
using Catch::Matchers::Contains;
TEST_CASE_METHOD(BlkFixture, "blk publishes what ends together with one interrupt", "[blk]") {
    for (std::uint16_t i = 0; i < 5; ++i)
        request(VIRTIO_BLK_T_GET_ID, 0).writable(kData, 20).writable(kStatus, 1).offer();
    kick();
    CHECK(driver.used_index() == 0);
    turn();
    CHECK(driver.used_index() == 5);
    CHECK(transport.queue_interrupts[0] == 1);
    CHECK(driver.used_flags() == 0); // and it listens again
}

TEST_CASE("blk keeps a full ring of requests apart", "[blk]") {
    BlkFixture f{{.queue_size = 256}};
    constexpr std::uint32_t kCount = 128; // two descriptors each, in indirect tables
    for (int round = 0; round < 3; ++round) {
        for (std::uint32_t i = 0; i < kCount; ++i) {
            const Gpa at{0x60000 + 1024 * i};
            must(f.ram->write(at, virtio_blk_req_header{VIRTIO_BLK_T_IN, 0, 3 * i}));
            f.driver.chain()
                .readable(at, 16)
                .writable(Gpa{at.value + 16}, 513)
                .offer_indirect(Gpa{at.value + 600});
        }
        f.kick();
        for (std::uint32_t i = 0; i < kCount; ++i)
            f.wait();
        for (std::uint32_t i = 0; i < kCount; ++i) {
            const Gpa at{0x60000 + 1024 * i + 16};
            CHECK(must(f.ram->read<std::uint64_t>(at)) == 3 * i);
            CHECK(must(f.ram->read<std::uint8_t>(Gpa{at.value + 512})) == VIRTIO_BLK_S_OK);
        }
    }
}

TEST_CASE_METHOD(BlkFixture, "blk drains before it stops", "[blk]") {
    fill(kData, 4096);
    for (std::uint64_t i = 0; i < 5; ++i)
        request(VIRTIO_BLK_T_OUT, 8 * i, Gpa{kHeader.value + 16 * i})
            .readable(kData, 4096)
            .writable(kStatus, 1)
            .offer();
    kick();
    CHECK(driver.used_index() == 0);
    must(core->pause());
    CHECK(driver.used_index() == 5);
    CHECK(TestImage::read(32, 4096) == guest(kData, 4096));
    must(core->pause());
    while (driver.take_used().has_value()) {
    }
    request(VIRTIO_BLK_T_IN, 1).writable(kData, 512).writable(kStatus, 1).offer();
    kick();
    turn();
    CHECK(driver.used_index() == 5);
    must(core->resume());
    wait();
    CHECK(status() == VIRTIO_BLK_S_OK);
    CHECK(driver.used_index() == 6);
}

TEST_CASE("a reset that comes while the disk hangs is done when it no longer does", "[blk]") {
    BlkFixture f{{.drain_limit = std::chrono::seconds{0}}};
    f.request(VIRTIO_BLK_T_IN, 9).writable(kData, 512).writable(kStatus, 1).offer();
    f.kick();
    const auto reset = [&f] {
        f.core->set_status(0);
        CHECK((f.core->status() & DEVICE_NEEDS_RESET) != 0);
    };
    SECTION("reset") {
        reset();
        reset(); // asked again
        f.turn();
        CHECK(f.core->status() == 0);
        CHECK(f.transport.resets == 1);
    }
    SECTION("reset, and a driver that did not wait") {
        reset();
        f.core->set_status(ACKNOWLEDGE);
        f.turn();
        CHECK((f.core->status() & DEVICE_NEEDS_RESET) != 0);
        f.core->set_status(0);
        CHECK(f.core->status() == 0);
    }
    SECTION("pause, and resume instead") {
        const auto paused = f.core->pause();
        REQUIRE_FALSE(paused.ok());
        CHECK_THAT(paused.error().text, Catch::Matchers::Contains("disk0: "));
        must(f.core->resume());
        f.turn();
        f.turn();
        CHECK(f.core->running());
    }
    CHECK(f.driver.used_index() == 1); // the buffer came back before
    CHECK(f.guest(kData, 512) == f.TestImage::read(9, 512));
    CHECK(f.status() == VIRTIO_BLK_S_OK);
}

TEST_CASE_METHOD(BlkFixture, "blk gives the lock away when everything is written back", "[blk]") {
    must(device->lock());
    auto other = must(BlkImage::open(path, false));
    CHECK_FALSE(other.lock().ok());
    fill(kData, 512);
    CHECK(write(1, 512) == VIRTIO_BLK_S_OK);
    must(core->pause());
    must(device->image().storage()->write_back());
    CHECK(unwritten_pages().value_or(0) == 0);
    must(device->unlock());
    CHECK(other.lock().ok());
    CHECK_FALSE(device->lock().ok());
}

TEST_CASE_METHOD(BlkFixture, "what was lost on its way to the disk is told by every flush from then on",
                 "[blk]") {
    must(device->lock());
    CHECK(run(request(VIRTIO_BLK_T_FLUSH, 0)) == VIRTIO_BLK_S_OK);
    device->image().storage()->failed(EIO); // the kernel told a migration, and tells nobody else
    CHECK(run(request(VIRTIO_BLK_T_FLUSH, 0)) == VIRTIO_BLK_S_IOERR);
    CHECK(run(request(VIRTIO_BLK_T_FLUSH, 0)) == VIRTIO_BLK_S_IOERR);
    CHECK(read(1, 512) == VIRTIO_BLK_S_OK);
    core->write_config(32, std::array{std::byte{0}}); // no cache: every write is a flush
    CHECK(write(1, 512) == VIRTIO_BLK_S_IOERR);
    must(core->pause());
    CHECK_FALSE(device->unlock().ok());
    CHECK_FALSE(must(BlkImage::open(path, false)).lock().ok());
}

TEST_CASE_METHOD(BlkFixture, "blk's configuration space", "[blk]") {
    virtio_blk_config config{};
    core->read_config(0, std::as_writable_bytes(std::span{&config, 1}));
    CHECK(config.capacity == kSectors);
    CHECK(config.seg_max == 14);
    CHECK(config.blk_size == 512);
    CHECK(config.writeback == 1);
    CHECK(config.max_discard_seg == 1);
    CHECK(config.max_write_zeroes_sectors == kBlkMaxRangeSectors);
    // All that a stock QEMU 7.2 offers may be asked of us, and nothing more.
    CHECK((core->offered_features() & ~std::uint64_t{0x10179006e54}) == 0);
    CHECK(device->traits().config_length == 57);

    const std::array off{std::byte{0}};
    core->write_config(0, std::array<std::byte, 8>{}); // capacity is not the driver's
    core->write_config(32, off);
    core->read_config(0, std::as_writable_bytes(std::span{&config, 1}));
    CHECK(config.capacity == kSectors);
    CHECK(config.writeback == 0);
    write_back();
    fill(kData, 512);
    CHECK(write(1, 512) == VIRTIO_BLK_S_OK);
    CHECK(unwritten_pages().value_or(0) == 0);
    CHECK(range(VIRTIO_BLK_T_WRITE_ZEROES, 2, 1, 0) == VIRTIO_BLK_S_OK);
    CHECK(unwritten_pages().value_or(0) == 0);
    core->set_status(0);
    core->read_config(0, std::as_writable_bytes(std::span{&config, 1}));
    CHECK(config.writeback == 1);
}

TEST_CASE("blk without a flush command writes through (section 5.2.6.2)", "[blk]") {
    BlkFixture f{{.features = feature(VIRTIO_F_VERSION_1)}};
    std::array<std::byte, 1> writeback;
    f.core->read_config(32, writeback);
    CHECK(writeback[0] == std::byte{0});
    f.core->write_config(32, std::array{std::byte{1}}); // not negotiated
    f.core->read_config(32, writeback);
    CHECK(writeback[0] == std::byte{0});
    f.write_back();
    CHECK(f.write(1, 512) == VIRTIO_BLK_S_OK);
    CHECK(f.unwritten_pages().value_or(0) == 0);
}

TEST_CASE("blk migrates", "[blk]") {
    BlkFixture source;
    source.core->write_config(32, std::array{std::byte{0}});
    CHECK(source.read(1, 512) == VIRTIO_BLK_S_OK);
    must(source.core->pause());
    StateWriter writer{"virtio-blk", 2};
    must(source.core->save(writer));
    const Bytes bytes{writer.bytes().begin(), writer.bytes().end()};

    const auto target = [&](bool readonly, std::uint64_t sectors) {
        auto fixture = std::make_unique<BlkFixture>(
            BlkFixture::Setup{.readonly = readonly, .bytes = sectors * kSectorSize});
        must(fixture->core->pause());
        fixture->core->set_status(0);
        return fixture;
    };
    const auto load = [](BlkFixture& at, std::span<const std::byte> stream) {
        ByteReader in{stream};
        StateReader reader{in, "virtio-blk"};
        return at.core->load(reader, 2);
    };
    SECTION("to an equal disk") {
        const auto destination = target(false, kSectors);
        // The guest's memory comes along.
        Bytes memory(source.ram->size());
        must(source.ram->read(Gpa{0}, memory));
        must(destination->ram->write(Gpa{0}, memory));
        destination->driver = source.driver;
        must(load(*destination, bytes));
        must(destination->core->commit_load());
        StateWriter again{"virtio-blk", 2};
        must(destination->core->save(again));
        CHECK(Bytes{again.bytes().begin(), again.bytes().end()} == bytes);
    }
    SECTION("not to one of another size") {
        const auto destination = target(false, kSectors / 2);
        const auto status = load(*destination, bytes);
        REQUIRE_FALSE(status.ok());
        CHECK_THAT(status.error().text, Contains("2048 sectors here, 4096 at the source"));
        CHECK(status.error().code == ErrorCode::Incompatible);
    }
    SECTION("not to one that is read-only") {
        const auto destination = target(true, kSectors);
        // Queue indices are looked at before the device is asked: give it a ring that fits.
        Bytes memory(source.ram->size());
        must(source.ram->read(Gpa{0}, memory));
        must(destination->ram->write(Gpa{0}, memory));
        const auto status = load(*destination, bytes);
        REQUIRE_FALSE(status.ok());
        CHECK_THAT(status.error().text, Contains("read-only here"));
    }
}

TEST_CASE("blk options are checked", "[blk]") {
    const TestImage image;
    const auto loop = must(Loop::create());
    const auto make = [&](const BlkOptions& options) {
        return Blk::create(*loop, must(BlkImage::open(image.path, false)), options);
    };
    CHECK_FALSE(make({.num_queues = 0}).ok());
    CHECK_FALSE(make({.queue_size = 100}).ok());
    CHECK_FALSE(make({.serial = std::string(21, 'x')}).ok());
    const auto several = must(make({.num_queues = 4}));
    CHECK(has_feature(several->traits().features, VIRTIO_BLK_F_MQ));
    CHECK(several->traits().queue_sizes.size() == 4);
}

} // namespace blk_device_test
