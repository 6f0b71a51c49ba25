// SPDX-License-Identifier: Apache-2.0
//
// A disk whose file system has no space left, where this process may mount one. Exit code 77 tells Meson that
// it was skipped.
#define CATCH_CONFIG_RUNNER
#include "devices/virtio/blk_fixture.h"

#include <iostream>
#include <sched.h>
#include <sys/mount.h>

using namespace godwit;
using namespace godwit::virtio;
using Catch::Matchers::Contains;

namespace {

std::string folder = "/tmp/godwit-full-test-XXXXXX"; // with a file system of its own, see main()

// A sparse disk, and another file that has taken all the space.
struct FullDisk {
    FullDisk() {
        Fd disk = must(open_file(folder + "/disk", O_RDWR | O_CREAT | O_TRUNC, 0600));
        REQUIRE(::ftruncate(disk.get(), 1 << 20) == 0);
        const Fd other = must(open_file(hog, O_WRONLY | O_CREAT | O_TRUNC, 0600));
        const Bytes page(4096);
        while (::write(other.get(), page.data(), page.size()) > 0) {
        }
    }
    ~FullDisk() { make_room(); }
    void make_room() const { ::unlink(hog.c_str()); }
    std::string hog = folder + "/hog";
};

} // namespace

TEST_CASE("a write without space stalls by default, and is done when there is room") {
    const FullDisk full;
    BlkFixture f{{.disk = folder + "/disk"}};
    f.fill(kData, 4096);
    f.request(VIRTIO_BLK_T_OUT, 8).readable(kData, 4096).writable(kStatus, 1).offer();
    f.kick();
    for (int i = 0; i < 1000 && !f.device->stalled(); ++i)
        f.turn();
    must(f.core->pause());
    CHECK(f.driver.used_index() == 0);
    REQUIRE(f.failures.size() == 1);
    CHECK(f.failures[0].write);
    CHECK(f.failures[0].errno_value == ENOSPC);
    CHECK(f.failures[0].action == ErrorAction::Stop);
    CHECK_THAT(f.failures[0].text, Contains("write of 4096 bytes at sector 8") && Contains("No space left"));

    full.make_room();
    must(f.core->resume());
    f.wait();
    CHECK(f.status() == VIRTIO_BLK_S_OK);
    const Bytes written = f.guest(kData, 4096);
    f.fill(kData, 4096, 99);
    CHECK(f.read(8, 4096) == VIRTIO_BLK_S_OK);
    CHECK(f.guest(kData, 4096) == written);
}

TEST_CASE("werror=report tells the guest that there is no space, ignore tells it nothing of it") {
    const FullDisk full;
    const auto [policy, status] = GENERATE(std::pair{ErrorPolicy::Report, VIRTIO_BLK_S_IOERR},
                                           std::pair{ErrorPolicy::Ignore, VIRTIO_BLK_S_OK});
    BlkFixture f{{.disk = folder + "/disk", .write_errors = policy}};
    CHECK(f.write(8, 4096) == status);
    CHECK_FALSE(f.device->stalled());
}

TEST_CASE("zeros for which there is no space stall too") {
    const FullDisk full;
    BlkFixture f{{.disk = folder + "/disk"}};
    must(f.ram->write(kData, virtio_blk_discard_write_zeroes{8, 64, 0}));
    f.request(VIRTIO_BLK_T_WRITE_ZEROES, 0).readable(kData, 16).writable(kStatus, 1).offer();
    f.kick();
    for (int i = 0; i < 1000 && !f.device->stalled(); ++i)
        f.turn();
    CHECK(f.device->stalled());
    must(f.core->pause());
    full.make_room();
    must(f.core->resume());
    f.wait();
    CHECK(f.status() == VIRTIO_BLK_S_OK);
}

int main(int argc, char** argv) {
    constexpr int kSkipped = 77;
    // The mount ends with the process.
    if (::mkdtemp(folder.data()) == nullptr || ::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", folder.c_str(), "tmpfs", 0, "size=256k") != 0) {
        std::cout << "skipped: no file system may be mounted here: " << std::strerror(errno) << "\n";
        ::rmdir(folder.c_str());
        return kSkipped;
    }
    const int failed = Catch::Session().run(argc, argv);
    ::umount2(folder.c_str(), MNT_DETACH);
    ::rmdir(folder.c_str());
    return failed;
}
