// SPDX-License-Identifier: Apache-2.0
//
// The block device on temporary files and a real loop, driven through the core.
#include "devices/virtio/blk.h"

#include "devices/virtio/core_fakes.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fcntl.h>
#include <numeric>
#include <sys/stat.h>
#include <unistd.h>

using namespace godwit;
using namespace godwit::virtio;
using Catch::Matchers::Contains;

namespace {

using Bytes = std::vector<std::byte>;
constexpr std::uint64_t kSectors = 4096; // 2 MiB
constexpr Gpa kHeader{0x40000}, kData{0x50000}, kStatus{0x48000};
constexpr std::uint8_t kUntouched = 0xee;

// A file with a sector number at the start of each sector.
struct TestImage {
    explicit TestImage(std::uint64_t bytes = kSectors * kSectorSize, const char* folder = "/tmp")
        : path(folder + std::string{"/godwit-blk-test-XXXXXX"}) {
        const Fd fd = Fd::adopt(::mkstemp(path.data()));
        REQUIRE(fd);
        REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0);
        for (std::uint64_t i = 0; i < bytes / kSectorSize; ++i)
            REQUIRE(::pwrite(fd.get(), &i, sizeof i, static_cast<off_t>(i * kSectorSize)) == sizeof i);
    }
    ~TestImage() { ::unlink(path.c_str()); }
    Bytes read(std::uint64_t sector, std::size_t count) const {
        const Fd fd = must(open_file(path, O_RDONLY));
        Bytes bytes(count);
        REQUIRE(::pread(fd.get(), bytes.data(), count, static_cast<off_t>(sector * kSectorSize)) ==
                static_cast<ssize_t>(count));
        return bytes;
    }
    std::string path;
};

struct Fixture : TestRam, TestImage {
    explicit Fixture(bool readonly = false, std::uint64_t features = 0, std::uint16_t queue_size = 16,
                     std::uint64_t bytes = kSectors * kSectorSize, const char* folder = "/tmp")
        : TestImage(bytes, folder), driver(*ram, queue_size, Gpa{0x10000}) {
        BlkOptions options{.id = "disk0", .serial = "a-serial"};
        options.queue_size = queue_size;
        device = must(Blk::create(*loop, must(BlkImage::open(path, readonly)), options));
        core.emplace(*device, *ram);
        core->attach(transport);
        go_live(features != 0 ? features : core->offered_features() & ~feature(VIRTIO_F_EVENT_IDX));
    }
    void go_live(std::uint64_t features) {
        core->set_status(ACKNOWLEDGE | DRIVER);
        core->set_driver_features(features);
        core->set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        core->set_queue_addresses(0, driver.addresses());
        core->enable_queue(0);
        core->set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        REQUIRE(core->running());
    }
    void turn() {
        loop->post([this] { loop->quit(); });
        loop->run();
    }
    void kick() { core->queue_notified(0); }
    // Lets the loop run until something was used.
    virtq_used_elem wait() {
        for (int i = 0; i < 1000; ++i) {
            if (const auto element = driver.take_used(); element.has_value())
                return *element;
            turn();
        }
        FAIL("nothing was used");
        return {};
    }
    FakeDriver::ChainBuilder request(std::uint32_t type, std::uint64_t sector, Gpa at = kHeader) {
        must(ram->write(at, virtio_blk_req_header{type, 0, sector}));
        must(ram->write(kStatus, kUntouched));
        auto chain = driver.chain();
        chain.readable(at, 16);
        return chain;
    }
    std::uint8_t status() const { return must(ram->read<std::uint8_t>(kStatus)); }
    // Offers the chain with a status byte and waits for its end.
    std::uint8_t run(FakeDriver::ChainBuilder chain) {
        chain.writable(kStatus, 1).offer();
        kick();
        used = wait();
        return status();
    }
    std::uint8_t read(std::uint64_t sector, std::uint32_t bytes) {
        return run(request(VIRTIO_BLK_T_IN, sector).writable(kData, bytes));
    }
    std::uint8_t write(std::uint64_t sector, std::uint32_t bytes) {
        return run(request(VIRTIO_BLK_T_OUT, sector).readable(kData, bytes));
    }
    std::uint8_t range(std::uint32_t type, std::uint64_t sector, std::uint32_t count, std::uint32_t flags) {
        must(ram->write(kData, virtio_blk_discard_write_zeroes{sector, count, flags}));
        return run(request(type, 0).readable(kData, 16));
    }
    Bytes guest(Gpa at, std::size_t count) const {
        Bytes bytes(count);
        must(ram->read(at, bytes));
        return bytes;
    }
    void fill(Gpa at, std::size_t count, std::uint8_t start = 1) {
        Bytes bytes(count);
        for (auto& byte : bytes)
            byte = static_cast<std::byte>(start++);
        must(ram->write(at, bytes));
    }
    std::vector<std::uint64_t> dirty() {
        std::vector<std::uint64_t> words(ram->dirty().word_count());
        ram->dirty().harvest_into(words);
        return words;
    }
    static bool is_dirty(const std::vector<std::uint64_t>& words, Gpa at) {
        const std::uint64_t page = at.value / kPageSize;
        return (words[page / 64] >> (page % 64) & 1) != 0;
    }

    std::unique_ptr<Loop> loop = must(Loop::create());
    FakeDriver driver;
    FakeTransport transport;
    std::unique_ptr<Blk> device;
    std::optional<Core> core;
    virtq_used_elem used{};
};

struct ReadOnly : Fixture {
    ReadOnly() : Fixture(true) {}
};

} // namespace

TEST_CASE_METHOD(Fixture, "blk reads", "[blk]") {
    ram->dirty().start();
    CHECK(read(7, 1024) == VIRTIO_BLK_S_OK);
    CHECK(used.len == 1025);
    CHECK(guest(kData, 1024) == TestImage::read(7, 1024));
    const auto words = dirty();
    CHECK(is_dirty(words, kData));
    CHECK(is_dirty(words, kStatus));
    CHECK(transport.queue_interrupts[0] == 1);
    CHECK(read(kSectors - 1, 512) == VIRTIO_BLK_S_OK);
    CHECK(run(request(VIRTIO_BLK_T_IN, kSectors)) == VIRTIO_BLK_S_OK); // nothing, from the end
    CHECK(used.len == 1);
}

TEST_CASE_METHOD(Fixture, "blk writes", "[blk]") {
    fill(kData, 4096);
    ram->dirty().start();
    CHECK(write(100, 4096) == VIRTIO_BLK_S_OK);
    CHECK(used.len == 1);
    CHECK(TestImage::read(100, 4096) == guest(kData, 4096));
    CHECK_FALSE(is_dirty(dirty(), kData)); // only read
    CHECK(read(104, 512) == VIRTIO_BLK_S_OK);
}

TEST_CASE_METHOD(Fixture, "blk takes any framing of a request (section 2.7.4)", "[blk]") {
    fill(kData, 2048);
    must(ram->write(kHeader, virtio_blk_req_header{VIRTIO_BLK_T_OUT, 0, 9}));
    SECTION("split header, data in odd pieces, status with other bytes before it") {
        driver.chain()
            .readable(kHeader, 3)
            .readable(Gpa{kHeader.value + 3}, 13)
            .readable(kData, 1)
            .readable(Gpa{kData.value + 1}, 1023)
            .writable(kStatus, 1)
            .offer();
        kick();
        wait();
        CHECK(status() == VIRTIO_BLK_S_OK);
        CHECK(TestImage::read(9, 1024) == guest(kData, 1024));
    }
    SECTION("header and data in one descriptor") {
        const Gpa whole{0x60000};
        must(ram->write(whole, virtio_blk_req_header{VIRTIO_BLK_T_OUT, 0, 9}));
        fill(Gpa{whole.value + 16}, 512, 77);
        driver.chain().readable(whole, 16 + 512).writable(kStatus, 1).offer();
        kick();
        wait();
        CHECK(TestImage::read(9, 512) == guest(Gpa{whole.value + 16}, 512));
    }
    SECTION("status at the end of the data's descriptor") {
        must(ram->write(kHeader, virtio_blk_req_header{VIRTIO_BLK_T_IN, 0, 9}));
        must(ram->write(Gpa{kData.value + 512}, kUntouched));
        driver.chain().readable(kHeader, 16).writable(kData, 513).offer();
        kick();
        CHECK(wait().len == 513);
        CHECK(guest(kData, 512) == TestImage::read(9, 512));
        CHECK(must(ram->read<std::uint8_t>(Gpa{kData.value + 512})) == VIRTIO_BLK_S_OK);
    }
}

TEST_CASE_METHOD(Fixture, "blk answers flush and id", "[blk]") {
    CHECK(run(request(VIRTIO_BLK_T_FLUSH, 0)) == VIRTIO_BLK_S_OK);
    CHECK(used.len == 1);
    must(ram->write(kData, std::array<char, 24>{}));
    CHECK(run(request(VIRTIO_BLK_T_GET_ID, 0).writable(kData, 4).writable(Gpa{kData.value + 4}, 16)) ==
          VIRTIO_BLK_S_OK);
    CHECK(used.len == 21);
    const auto id = must(ram->read<std::array<char, 20>>(kData));
    CHECK(std::string_view{id.data()} == "a-serial");
    fill(kData, 20);
    CHECK(run(request(VIRTIO_BLK_T_GET_ID, 0).writable(kData, 5)) == VIRTIO_BLK_S_OK);
    CHECK(used.len == 6);
    CHECK(must(ram->read<std::uint8_t>(Gpa{kData.value + 5})) == 6); // not beyond what was given
}

TEST_CASE_METHOD(Fixture, "blk discards and writes zeros", "[blk]") {
    const Bytes zeros(8 * kSectorSize), before_range = TestImage::read(kSectors - 1, 512);
    bool was_discarded = false;
    SECTION("write zeroes, keeping the space") {
        CHECK(range(VIRTIO_BLK_T_WRITE_ZEROES, 16, 8, 0) == VIRTIO_BLK_S_OK);
        CHECK(TestImage::read(16, zeros.size()) == zeros);
    }
    SECTION("write zeroes, giving the space back") {
        CHECK(range(VIRTIO_BLK_T_WRITE_ZEROES, 16, 8, kWriteZeroesUnmap) == VIRTIO_BLK_S_OK);
        CHECK(TestImage::read(16, zeros.size()) == zeros);
    }
    SECTION("discard") {
        struct stat before {
        }, after{};
        REQUIRE(::stat(path.c_str(), &before) == 0);
        CHECK(range(VIRTIO_BLK_T_DISCARD, 0, kSectors, 0) == VIRTIO_BLK_S_OK);
        REQUIRE(::stat(path.c_str(), &after) == 0);
        CHECK(after.st_blocks < before.st_blocks);
        CHECK(after.st_size == before.st_size);
        was_discarded = true;
    }
    SECTION("nothing") {
        CHECK(range(VIRTIO_BLK_T_DISCARD, 16, 0, 0) == VIRTIO_BLK_S_OK);
        CHECK(range(VIRTIO_BLK_T_WRITE_ZEROES, 16, 0, 0) == VIRTIO_BLK_S_OK);
    }
    SECTION("flags that do not exist") {
        CHECK(range(VIRTIO_BLK_T_DISCARD, 16, 8, kWriteZeroesUnmap) == VIRTIO_BLK_S_UNSUPP);
        CHECK(range(VIRTIO_BLK_T_WRITE_ZEROES, 16, 8, 2) == VIRTIO_BLK_S_UNSUPP);
    }
    SECTION("out of range") {
        CHECK(range(VIRTIO_BLK_T_DISCARD, kSectors, 1, 0) == VIRTIO_BLK_S_IOERR);
        CHECK(range(VIRTIO_BLK_T_WRITE_ZEROES, kSectors - 1, 2, 0) == VIRTIO_BLK_S_IOERR);
        CHECK(range(VIRTIO_BLK_T_WRITE_ZEROES, ~std::uint64_t{0}, 2, 0) == VIRTIO_BLK_S_IOERR);
        CHECK(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, kBlkMaxRangeSectors + 1, 0) == VIRTIO_BLK_S_IOERR);
    }
    SECTION("less and more than one segment (CVE-2026-48914)") {
        CHECK(run(request(VIRTIO_BLK_T_DISCARD, 0).readable(kData, 15)) == VIRTIO_BLK_S_IOERR);
        CHECK(run(request(VIRTIO_BLK_T_DISCARD, 0)) == VIRTIO_BLK_S_IOERR);
        CHECK(run(request(VIRTIO_BLK_T_DISCARD, 0).readable(kData, 32)) == VIRTIO_BLK_S_UNSUPP);
    }
    CHECK(TestImage::read(kSectors - 1, 512) == (was_discarded ? Bytes(512) : before_range));
}

TEST_CASE("blk writes zeros where the file system cannot make them", "[blk]") {
    // tmpfs knows holes, but no zero ranges.
    Fixture f{false, 0, 16, kSectors * kSectorSize, "/dev/shm"};
    constexpr std::uint32_t kCount = 2 * 2048 - 7; // several rounds of the largest write, and a rest
    CHECK(f.range(VIRTIO_BLK_T_WRITE_ZEROES, 3, kCount, 0) == VIRTIO_BLK_S_OK);
    CHECK(f.TestImage::read(3, kCount * kSectorSize) == Bytes(kCount * kSectorSize));
    CHECK(f.TestImage::read(2, 1)[0] == std::byte{2});
    CHECK(f.TestImage::read(3 + kCount, 1)[0] == std::byte{(3 + kCount) & 0xff});
}

TEST_CASE("blk refuses discard and write zeroes that were not negotiated", "[blk]") {
    Fixture f{false, feature(VIRTIO_F_VERSION_1)};
    CHECK(f.range(VIRTIO_BLK_T_DISCARD, 0, 1, 0) == VIRTIO_BLK_S_UNSUPP);
    CHECK(f.range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0) == VIRTIO_BLK_S_UNSUPP);
}

TEST_CASE_METHOD(Fixture, "blk refuses requests outside the disk", "[blk]") {
    fill(kData, 1024);
    CHECK(read(kSectors, 512) == VIRTIO_BLK_S_IOERR);
    CHECK(used.len == 0);
    CHECK(read(kSectors - 1, 1024) == VIRTIO_BLK_S_IOERR);
    CHECK(write(kSectors - 1, 1024) == VIRTIO_BLK_S_IOERR);
    CHECK(write(~std::uint64_t{0}, 512) == VIRTIO_BLK_S_IOERR);
    CHECK(read(std::uint64_t{1} << 55, 512) == VIRTIO_BLK_S_IOERR);
    CHECK(read(0, 511) == VIRTIO_BLK_S_IOERR);
    CHECK(write(0, 513) == VIRTIO_BLK_S_IOERR);
    CHECK(TestImage::read(0, 8)[0] == std::byte{0});
    CHECK(run(request(2, 0)) == VIRTIO_BLK_S_UNSUPP);
    CHECK(run(request(0xffffffff, 0)) == VIRTIO_BLK_S_UNSUPP);
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    CHECK(info.st_size == kSectors * kSectorSize);
}

TEST_CASE_METHOD(Fixture, "blk and malformed requests", "[blk]") {
    SECTION("a short header") {
        must(ram->write(kStatus, kUntouched));
        CHECK(run(driver.chain().readable(kHeader, 15)) == VIRTIO_BLK_S_IOERR);
    }
    SECTION("no header") {
        CHECK(run(driver.chain()) == VIRTIO_BLK_S_IOERR);
    }
    SECTION("no status byte") {
        request(VIRTIO_BLK_T_OUT, 0).readable(kData, 512).offer();
        kick();
        CHECK(core->broken());
        CHECK(transport.config_interrupts == 1);
        turn();
        CHECK(driver.used_index() == 0);
    }
    SECTION("the same head while it is in flight (CVE-2026-45782)") {
        const auto head = request(VIRTIO_BLK_T_IN, 0).writable(kData, 512).writable(kStatus, 1).offer();
        driver.offer(head);
        kick();
        CHECK(core->broken());
        CHECK(wait().id == head); // the first one ends well
        CHECK(status() == VIRTIO_BLK_S_OK);
        turn();
        CHECK(driver.used_index() == 1);
    }
    SECTION("after a reset all is well") {
        driver.set_avail_index(100);
        kick();
        REQUIRE(core->broken());
        core->set_status(0);
        driver.start_at(0);
        go_live(feature(VIRTIO_F_VERSION_1));
        CHECK(read(5, 512) == VIRTIO_BLK_S_OK);
    }
}

TEST_CASE_METHOD(ReadOnly, "blk that is read-only", "[blk]") {
    CHECK(has_feature(core->offered_features(), VIRTIO_BLK_F_RO));
    CHECK(read(3, 512) == VIRTIO_BLK_S_OK);
    CHECK(write(3, 512) == VIRTIO_BLK_S_IOERR);
    CHECK(range(VIRTIO_BLK_T_DISCARD, 3, 1, 0) == VIRTIO_BLK_S_IOERR);
    CHECK(range(VIRTIO_BLK_T_WRITE_ZEROES, 3, 1, 0) == VIRTIO_BLK_S_IOERR);
    CHECK(run(request(VIRTIO_BLK_T_FLUSH, 0)) == VIRTIO_BLK_S_OK);
    CHECK(TestImage::read(3, 1)[0] == std::byte{3});
}

TEST_CASE_METHOD(Fixture, "blk and an image that became shorter", "[blk]") {
    REQUIRE(::truncate(path.c_str(), 10 * kSectorSize) == 0);
    CHECK(read(8, 4096) == VIRTIO_BLK_S_IOERR); // two sectors, then nothing
    CHECK(used.len == 1024);
    CHECK(read(20, 512) == VIRTIO_BLK_S_IOERR);
    CHECK(used.len == 0);
    CHECK_FALSE(core->broken());
}

TEST_CASE_METHOD(Fixture, "blk publishes what ends together with one interrupt", "[blk]") {
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
    Fixture f{false, 0, 256};
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

TEST_CASE_METHOD(Fixture, "blk drains before it stops", "[blk]") {
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

TEST_CASE_METHOD(Fixture, "blk's configuration space", "[blk]") {
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
    fill(kData, 512);
    CHECK(write(1, 512) == VIRTIO_BLK_S_OK); // through a flush
    CHECK(range(VIRTIO_BLK_T_WRITE_ZEROES, 2, 1, 0) == VIRTIO_BLK_S_OK);
    core->set_status(0);
    core->read_config(0, std::as_writable_bytes(std::span{&config, 1}));
    CHECK(config.writeback == 1);
}

TEST_CASE("blk without a flush command writes through (section 5.2.6.2)", "[blk]") {
    Fixture f{false, feature(VIRTIO_F_VERSION_1)};
    std::array<std::byte, 1> writeback;
    f.core->read_config(32, writeback);
    CHECK(writeback[0] == std::byte{0});
    f.core->write_config(32, std::array{std::byte{1}}); // not negotiated
    f.core->read_config(32, writeback);
    CHECK(writeback[0] == std::byte{0});
    CHECK(f.write(1, 512) == VIRTIO_BLK_S_OK);
}

TEST_CASE("blk migrates", "[blk]") {
    Fixture source;
    source.core->write_config(32, std::array{std::byte{0}});
    CHECK(source.read(1, 512) == VIRTIO_BLK_S_OK);
    must(source.core->pause());
    StateWriter writer{"virtio-blk", 2};
    must(source.core->save(writer));
    const Bytes bytes{writer.bytes().begin(), writer.bytes().end()};

    const auto target = [&](bool readonly, std::uint64_t sectors) {
        auto fixture = std::make_unique<Fixture>(readonly, 0, 16, sectors * kSectorSize);
        must(fixture->core->pause());
        fixture->core->set_status(0);
        return fixture;
    };
    const auto load = [](Fixture& at, std::span<const std::byte> stream) {
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
    SECTION("not with requests that were left over") {
        const auto destination = target(false, kSectors);
        Bytes with_request = bytes;
        const std::size_t list = 2 + 8 + 4 + 57 + 4 + (4 + 8 + 2 + 2);
        REQUIRE(with_request[list] == std::byte{0});
        with_request[list] = std::byte{1};
        const auto status = load(*destination, with_request);
        REQUIRE_FALSE(status.ok());
        CHECK_THAT(status.error().text, Contains("stopped with requests"));
        with_request[list] = std::byte{2};
        CHECK_FALSE(load(*destination, with_request).ok());
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
