// SPDX-License-Identifier: Apache-2.0
//
// Block requests, well-formed and not.
#include "devices/virtio/blk_fixture.h"

#include <sys/stat.h>

namespace blk_test {

using namespace godwit;
using namespace godwit::virtio;

namespace {

struct ReadOnly : BlkFixture {
    ReadOnly() : BlkFixture(Setup{.readonly = true}) {}
};

} // namespace

TEST_CASE_METHOD(BlkFixture, "blk reads", "[blk]") {
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

TEST_CASE_METHOD(BlkFixture, "blk writes", "[blk]") {
    fill(kData, 4096);
    ram->dirty().start();
    CHECK(write(100, 4096) == VIRTIO_BLK_S_OK);
    CHECK(used.len == 1);
    CHECK(TestImage::read(100, 4096) == guest(kData, 4096));
    CHECK_FALSE(is_dirty(dirty(), kData)); // only read
    CHECK(read(104, 512) == VIRTIO_BLK_S_OK);
}

TEST_CASE_METHOD(BlkFixture, "blk takes any framing of a request (section 2.7.4)", "[blk]") {
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

TEST_CASE_METHOD(BlkFixture, "blk answers flush and id", "[blk]") {
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

TEST_CASE_METHOD(BlkFixture, "blk discards and writes zeros", "[blk]") {
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
    BlkFixture f{{.folder = "/dev/shm"}};
    constexpr std::uint32_t kCount = 2 * 2048 - 7; // several rounds of the largest write, and a rest
    CHECK(f.range(VIRTIO_BLK_T_WRITE_ZEROES, 3, kCount, 0) == VIRTIO_BLK_S_OK);
    CHECK(f.TestImage::read(3, kCount * kSectorSize) == Bytes(kCount * kSectorSize));
    CHECK(f.TestImage::read(2, 1)[0] == std::byte{2});
    CHECK(f.TestImage::read(3 + kCount, 1)[0] == std::byte{(3 + kCount) & 0xff});
}

TEST_CASE("blk refuses discard and write zeroes that were not negotiated", "[blk]") {
    BlkFixture f{{.features = feature(VIRTIO_F_VERSION_1)}};
    CHECK(f.range(VIRTIO_BLK_T_DISCARD, 0, 1, 0) == VIRTIO_BLK_S_UNSUPP);
    CHECK(f.range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0) == VIRTIO_BLK_S_UNSUPP);
}

TEST_CASE_METHOD(BlkFixture, "blk refuses requests outside the disk", "[blk]") {
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

TEST_CASE_METHOD(BlkFixture, "blk and malformed requests", "[blk]") {
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

TEST_CASE_METHOD(BlkFixture, "blk and an image that became shorter", "[blk]") {
    REQUIRE(::truncate(path.c_str(), 10 * kSectorSize) == 0);
    CHECK(read(8, 4096) == VIRTIO_BLK_S_IOERR); // two sectors, then nothing
    CHECK(used.len == 1024);
    CHECK(read(20, 512) == VIRTIO_BLK_S_IOERR);
    CHECK(used.len == 0);
    CHECK_FALSE(core->broken());
}

TEST_CASE_METHOD(BlkFixture, "blk asks again for the rest of a short transfer", "[blk]") {
    const Bytes whole = TestImage::read(8, 4096);
    REQUIRE(::truncate(path.c_str(), 10 * kSectorSize) == 0);
    request(VIRTIO_BLK_T_IN, 8)
        .writable(kData, 700)
        .writable(Gpa{kData.value + 700}, 1000)
        .writable(Gpa{kData.value + 1700}, 2396)
        .writable(kStatus, 1)
        .offer();
    kick();
    // Runs after the first part was read, before the rest is asked for.
    loop->post([&] {
        const Fd fd = must(open_file(path, O_WRONLY));
        REQUIRE(::pwrite(fd.get(), whole.data(), whole.size(), 8 * kSectorSize) == 4096);
    });
    CHECK(wait().len == 4097);
    CHECK(status() == VIRTIO_BLK_S_OK);
    CHECK(guest(kData, 4096) == whole);
}

} // namespace blk_test
