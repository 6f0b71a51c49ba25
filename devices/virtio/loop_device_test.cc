// SPDX-License-Identifier: Apache-2.0
//
// A guest's disk on a block device, where this process may have one. Exit code 77 tells Meson that it was
// skipped.
#define CATCH_CONFIG_RUNNER
#include "devices/virtio/blk_fixture.h"
#include "devices/virtio/loop_device_fixture.h"

#include <iostream>
#include <sys/mount.h>
#include <sys/stat.h>

using namespace godwit;
using namespace godwit::virtio;

namespace {

std::uint64_t allocated(const std::string& path) {
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    return static_cast<std::uint64_t>(info.st_blocks) * 512;
}

struct OnLoopDevice : TestImage {
    OnLoopDevice() : below(path), disk({.disk = below.path()}) { write_back(); }
    virtio_blk_config config() {
        virtio_blk_config config{};
        disk.core->read_config(0, std::as_writable_bytes(std::span{&config, 1}));
        return config;
    }
    LoopDevice below;
    BlkFixture disk;
};

// A file system of memory whose files have no holes: a loop device over one cannot discard.
struct FilesWithoutHoles {
    FilesWithoutHoles() {
        REQUIRE(::mkdtemp(folder.data()) != nullptr);
        REQUIRE(::mount("none", folder.c_str(), "ramfs", 0, nullptr) == 0);
    }
    ~FilesWithoutHoles() {
        ::umount2(folder.c_str(), MNT_DETACH);
        ::rmdir(folder.c_str());
    }
    std::string folder = "/tmp/godwit-loop-test-XXXXXX";
};

constexpr std::uint32_t kHalf = kSectors / 2;

} // namespace

TEST_CASE_METHOD(OnLoopDevice,
                 "what a guest discards on a block device is discarded there, and its space comes back") {
    const std::uint64_t before = allocated(path);
    const std::uint64_t discards = below.discards();
    CHECK(disk.range(VIRTIO_BLK_T_DISCARD, 0, kHalf, 0) == VIRTIO_BLK_S_OK);
    CHECK(below.discards() > discards);
    CHECK(allocated(path) <= before - kHalf * kSectorSize);
    CHECK(disk.read(kHalf + 1, 512) == VIRTIO_BLK_S_OK); // the rest is as it was
    CHECK(must(disk.ram->read<std::uint64_t>(kData)) == kHalf + 1);
}

TEST_CASE_METHOD(
    OnLoopDevice,
    "zeros that a guest writes on a block device with unmap are read, and their space comes back") {
    const std::uint64_t before = allocated(path);
    CHECK(disk.range(VIRTIO_BLK_T_WRITE_ZEROES, 0, kHalf, kWriteZeroesUnmap) == VIRTIO_BLK_S_OK);
    CHECK(allocated(path) <= before - kHalf * kSectorSize);
    disk.fill(kData, 4096);
    CHECK(disk.read(8, 4096) == VIRTIO_BLK_S_OK);
    CHECK(disk.guest(kData, 4096) == Bytes(4096));
}

TEST_CASE_METHOD(OnLoopDevice, "a driver is told the limits that its block device has") {
    const DiscardLimits limits = must(read_discard_limits(below.queue_folder()));
    REQUIRE(limits.possible);
    CHECK(limits.alignment > 1); // blocks of the file system below
    CHECK(config().discard_sector_alignment == limits.alignment);
    CHECK(config().max_discard_sectors == limits.max_sectors);
    CHECK(config().max_discard_seg == 1);
}

TEST_CASE_METHOD(OnLoopDevice, "a device stops when its discards have ended") {
    must(disk.ram->write(kData, virtio_blk_discard_write_zeroes{0, kHalf, 0}));
    disk.request(VIRTIO_BLK_T_DISCARD, 0).readable(kData, 16).writable(kStatus, 1).offer();
    disk.kick();
    must(disk.core->pause());
    CHECK(disk.driver.used_index() == 1);
    CHECK(disk.status() == VIRTIO_BLK_S_OK);
}

TEST_CASE("a block device that cannot discard does not offer it, and writes zeros all the same") {
    const FilesWithoutHoles files;
    const TestImage file{kSectors * kSectorSize, files.folder.c_str()};
    const LoopDevice below{file.path};
    BlkFixture disk{{.disk = below.path()}};
    CHECK_FALSE(has_feature(disk.core->offered_features(), VIRTIO_BLK_F_DISCARD));
    virtio_blk_config config{};
    disk.core->read_config(0, std::as_writable_bytes(std::span{&config, 1}));
    CHECK(config.max_discard_sectors == 0);
    CHECK(config.write_zeroes_may_unmap == 0);
    CHECK(disk.range(VIRTIO_BLK_T_DISCARD, 0, 8, 0) == VIRTIO_BLK_S_UNSUPP);
    CHECK(disk.range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, kWriteZeroesUnmap) == VIRTIO_BLK_S_OK);
    CHECK(disk.read(0, 512) == VIRTIO_BLK_S_OK);
    CHECK(must(disk.ram->read<std::uint64_t>(kData)) == 0);
}

int main(int argc, char** argv) {
    constexpr int kSkipped = 77;
    std::string file = "/tmp/godwit-loop-test-XXXXXX";
    const Fd fd = Fd::adopt(::mkstemp(file.data()));
    const bool there = ::ftruncate(fd.get(), 1 << 20) == 0 && !LoopDevice{file}.path().empty();
    ::unlink(file.c_str());
    if (!there) {
        std::cout << "skipped: no loop device may be had here\n";
        return kSkipped;
    }
    return Catch::Session().run(argc, argv);
}
