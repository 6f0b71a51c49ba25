// SPDX-License-Identifier: Apache-2.0
//
// Requests that the host's disk refuses: what each policy does, and how those that stalled travel. A disk
// that was cut short refuses to read what it no longer has; full_disk_test.cc has one without space.
#include "devices/virtio/blk_fixture.h"

namespace blk_error_test {

using namespace godwit;
using namespace godwit::virtio;
using Catch::Matchers::Contains;

namespace {

struct CutDisk : BlkFixture {
    explicit CutDisk(ErrorPolicy policy, ErrorPolicy writes = kDefaultWriteErrors)
        : BlkFixture({.write_errors = writes, .read_errors = policy}) {}
    void cut() { REQUIRE(::truncate(path.c_str(), 0) == 0); }
    // Brings sector `sector` back.
    void mend(std::uint64_t sector) {
        const Fd fd = must(open_file(path, O_RDWR));
        REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(kSectors * kSectorSize)) == 0);
        REQUIRE(::pwrite(fd.get(), &sector, sizeof sector, static_cast<off_t>(sector * kSectorSize)) ==
                sizeof sector);
    }
    void offer_read(std::uint64_t sector) {
        request(VIRTIO_BLK_T_IN, sector).writable(kData, 512).writable(kStatus, 1).offer();
        kick();
    }
    void run_until_stalled() {
        for (int i = 0; i < 1000 && !device->stalled(); ++i)
            turn();
        REQUIRE(device->stalled());
    }
    // A read of sector 7 that stalled, on a device that is paused.
    void stall() {
        cut();
        offer_read(7);
        run_until_stalled();
        must(core->pause());
    }
    Bytes saved() {
        StateWriter writer{"virtio-blk", 2};
        must(core->save(writer));
        return {writer.bytes().begin(), writer.bytes().end()};
    }
};

// Where the list of requests begins in the state of a device with one queue on the test transport.
constexpr std::size_t kList = 2 + 8 + 4 + 57 + 4 + (4 + 8 + 2 + 2);
constexpr std::size_t kElement = kList + 1;

Status load(BlkFixture& at, std::span<const std::byte> stream) {
    ByteReader in{stream};
    StateReader reader{in, "virtio-blk"};
    return at.core->load(reader, 2);
}

// Paused, with the source's memory, and its disk whole.
std::unique_ptr<CutDisk> destination_of(CutDisk& source) {
    auto fixture = std::make_unique<CutDisk>(ErrorPolicy::Report);
    must(fixture->core->pause());
    fixture->core->set_status(0);
    Bytes memory(source.ram->size());
    must(source.ram->read(Gpa{0}, memory));
    must(fixture->ram->write(Gpa{0}, memory));
    return fixture;
}

} // namespace

TEST_CASE("a policy and an error make an action", "[blk]") {
    CHECK(action_of(ErrorPolicy::Report, ENOSPC) == ErrorAction::Report);
    CHECK(action_of(ErrorPolicy::Stop, EIO) == ErrorAction::Stop);
    CHECK(action_of(ErrorPolicy::Enospc, ENOSPC) == ErrorAction::Stop);
    CHECK(action_of(ErrorPolicy::Enospc, EIO) == ErrorAction::Report);
    CHECK(action_of(ErrorPolicy::Ignore, EIO) == ErrorAction::Ignore);
}

TEST_CASE("rerror=report tells the guest, and who asked at most once in a second", "[blk]") {
    CutDisk f{ErrorPolicy::Report};
    f.cut();
    CHECK(f.read(7, 512) == VIRTIO_BLK_S_IOERR);
    CHECK(f.read(8, 512) == VIRTIO_BLK_S_IOERR);
    CHECK_FALSE(f.device->stalled());
    REQUIRE(f.failures.size() == 1);
    CHECK_FALSE(f.failures[0].write);
    CHECK(f.failures[0].action == ErrorAction::Report);
    CHECK(f.failures[0].errno_value == EIO);
    CHECK_THAT(f.failures[0].text, Contains("read of 512 bytes at sector 7"));
}

TEST_CASE("rerror=ignore tells the guest that it was read", "[blk]") {
    CutDisk f{ErrorPolicy::Ignore};
    f.cut();
    CHECK(f.read(7, 512) == VIRTIO_BLK_S_OK);
    CHECK(f.used.len == 513);
    CHECK(f.failures.at(0).action == ErrorAction::Ignore);
}

TEST_CASE("rerror=stop tells the guest nothing, and reads again when it goes on", "[blk]") {
    CutDisk f{ErrorPolicy::Stop};
    f.cut();
    f.offer_read(7);
    f.offer_read(7); // the same buffers: whichever comes last
    f.run_until_stalled();
    must(f.core->pause());
    CHECK(f.driver.used_index() == 0);
    CHECK(f.status() == kUntouched);
    CHECK(f.failures.size() == 2);
    CHECK(f.failures[0].action == ErrorAction::Stop);

    must(f.core->resume()); // nothing has changed
    f.run_until_stalled();
    must(f.core->pause());
    CHECK(f.driver.used_index() == 0);
    CHECK(f.failures.size() == 4);

    f.mend(7);
    must(f.core->resume());
    f.wait();
    f.wait();
    CHECK_FALSE(f.device->stalled());
    CHECK(f.status() == VIRTIO_BLK_S_OK);
    CHECK(must(f.ram->read<std::uint64_t>(kData)) == 7);
    CHECK(f.failures.size() == 4);
}

TEST_CASE("memory that a stalled read may have filled is dirty", "[blk]") {
    CutDisk f{ErrorPolicy::Stop};
    f.ram->dirty().start();
    f.stall();
    CHECK(f.is_dirty(f.dirty(), kData));
}

TEST_CASE("a reset, or a queue that is taken back, drops what stalled", "[blk]") {
    CutDisk f{ErrorPolicy::Stop};
    f.cut();
    f.offer_read(7);
    f.run_until_stalled();
    SECTION("reset") {
        f.core->set_status(0);
        CHECK(f.core->status() == 0);
    }
    SECTION("queue") {
        f.core->reset_queue(0);
        CHECK((f.core->status() & DEVICE_NEEDS_RESET) == 0);
    }
    CHECK_FALSE(f.device->stalled());
    CHECK(f.driver.used_index() == 0);
}

TEST_CASE("a flush that failed is told whatever the policy: what it lost is not found by trying again",
          "[blk]") {
    const auto policy = GENERATE(ErrorPolicy::Stop, ErrorPolicy::Enospc, ErrorPolicy::Ignore);
    CutDisk f{ErrorPolicy::Report, policy};
    f.device->image().storage()->failed(ENOSPC);
    CHECK(f.run(f.request(VIRTIO_BLK_T_FLUSH, 0)) == VIRTIO_BLK_S_IOERR);
    CHECK_FALSE(f.device->stalled());
    CHECK(f.failures.at(0).write);
    CHECK(f.failures.at(0).action == ErrorAction::Report);
    f.core->write_config(32, std::array{std::byte{0}}); // no cache: every write is a flush
    CHECK(f.write(1, 512) == VIRTIO_BLK_S_IOERR);
}

TEST_CASE("what stalled goes along and is read on the other side", "[blk]") {
    CutDisk source{ErrorPolicy::Stop};
    source.stall();
    const Bytes bytes = source.saved();
    CHECK(bytes[kList] == std::byte{1});
    const auto destination = destination_of(source);
    must(load(*destination, bytes));
    must(destination->core->commit_load());
    CHECK(destination->device->stalled());
    CHECK(destination->saved() == bytes); // also when it moves on before it ran
    must(destination->core->resume());
    destination->wait();
    CHECK(destination->status() == VIRTIO_BLK_S_OK);
    CHECK(must(destination->ram->read<std::uint64_t>(kData)) == 7);
    CHECK_FALSE(destination->device->stalled());
}

// QEMU 7.2's layout on a little-endian host: hw/virtio/virtio.c, VirtQueueElementOld.
TEST_CASE("a stalled request stands in the stream as QEMU has it", "[blk]") {
    CutDisk source{ErrorPolicy::Stop};
    source.stall();
    const Bytes bytes = source.saved();
    const auto at = [&](std::size_t offset) {
        return load_le<std::uint64_t>(std::span{bytes}.subspan(kElement + offset));
    };
    CHECK(at(0) == std::uint64_t{1} << 32); // index 0, one readable part
    CHECK(at(8) == 2);                      // two writable ones
    CHECK(at(16) == kData.value);           // in_addr
    CHECK(at(24) == kStatus.value);
    CHECK(at(16 + 8192) == kHeader.value); // out_addr
    CHECK(at(16 + 16384 + 8) == 512);      // in_sg lengths
    CHECK(at(16 + 16384 + 24) == 1);
    CHECK(at(16 + 16384 + 16384 + 8) == 16);        // out_sg
    CHECK(bytes[kElement + 49168] == std::byte{0}); // the end of the list
}

TEST_CASE("stalled requests from a stream are bounded before anything is done (CVE-2013-4535, CVE-2013-4536)",
          "[blk][hostile]") {
    CutDisk source{ErrorPolicy::Stop};
    source.stall();
    Bytes bytes = source.saved();
    const auto destination = destination_of(source);
    const auto refused = [&](const char* why) {
        const auto status = load(*destination, bytes);
        REQUIRE_FALSE(status.ok());
        CHECK_THAT(status.error().text, Contains(why));
    };
    SECTION("neither one nor the end") {
        bytes[kList] = std::byte{2};
        refused("2 is neither a request");
    }
    SECTION("head") {
        bytes[kElement] = std::byte{16};
        refused("head 16 in a queue of up to 16");
    }
    SECTION("parts") {
        bytes[kElement + 5] = std::byte{5};
        refused("1281 parts of a request, at most 1024 can be");
    }
    SECTION("length of a part") {
        bytes[kElement + 16 + 16384 + 12] = std::byte{1};
        refused("a part of a request has 4294967808 bytes");
    }
    SECTION("twice") {
        const Bytes one(bytes.begin() + kList, bytes.begin() + kElement + 49168);
        bytes.insert(bytes.begin() + kList, one.begin(), one.end());
        refused("head 0 of queue 0 comes twice");
    }
    SECTION("a head that was never offered: the device breaks, not the machine") {
        bytes[kElement] = std::byte{5};
        // Descriptor 5 leads nowhere.
        must(load(*destination, bytes));
        must(destination->core->commit_load());
        (void)destination->core->resume();
        CHECK((destination->core->status() & DEVICE_NEEDS_RESET) != 0);
    }
    SECTION("more than are in flight") {
        Bytes two(bytes.begin() + kList, bytes.begin() + kElement + 49168);
        two[1] = std::byte{1};
        bytes.insert(bytes.begin() + kList, two.begin(), two.end());
        must(load(*destination, bytes));
        must(destination->core->commit_load());
        (void)destination->core->resume();
        CHECK((destination->core->status() & DEVICE_NEEDS_RESET) != 0);
        CHECK(destination->driver.used_index() <= 1);
    }
}

} // namespace blk_error_test
