// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/blk_image.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace blk_image_test {

using namespace godwit;
using namespace godwit::virtio;
using Catch::Matchers::Contains;

namespace {

struct TestFile {
    explicit TestFile(off_t bytes) {
        const Fd fd = Fd::adopt(::mkstemp(path.data()));
        REQUIRE(fd);
        REQUIRE(::ftruncate(fd.get(), bytes) == 0);
    }
    ~TestFile() { ::unlink(path.c_str()); }
    std::string path = "/tmp/godwit-image-test-XXXXXX";
};

BlkImage open_image(const std::string& path, bool readonly) {
    auto image = BlkImage::open(path, readonly);
    REQUIRE(image.ok());
    return std::move(image).value();
}

} // namespace

TEST_CASE("an image has whole sectors", "[blk]") {
    const TestFile file{5 * 512 + 100};
    const auto image = open_image(file.path, false);
    CHECK(image.sectors() == 5);
    CHECK_FALSE(image.readonly());
    CHECK_FALSE(image.locked());
}

TEST_CASE("what is no image is refused by name", "[blk]") {
    const auto text = [](const std::string& path) {
        const auto image = BlkImage::open(path, true);
        REQUIRE_FALSE(image.ok());
        return image.error().text;
    };
    CHECK_THAT(text("/nonexistent/disk"), Contains("/nonexistent/disk"));
    CHECK_THAT(text("/tmp"), Contains("'/tmp': neither a regular file nor a block device"));
    CHECK_THAT(text("/dev/null"), Contains("neither"));
    const TestFile small{511};
    CHECK_THAT(text(small.path), Contains("511 bytes are too few"));
    const std::string fifo = "/tmp/godwit-fifo-test-" + std::to_string(::getpid());
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    CHECK_THAT(text(fifo), Contains("neither")); // and not waited for
    ::unlink(fifo.c_str());
}

TEST_CASE("one writer, or several readers", "[blk]") {
    const TestFile file{4096};
    auto first = open_image(file.path, false);
    auto second = open_image(file.path, false);
    auto reader = open_image(file.path, true);
    auto other_reader = open_image(file.path, true);
    REQUIRE(first.lock().ok());
    REQUIRE(first.lock().ok());
    CHECK(first.locked());
    const auto refused = second.lock();
    REQUIRE_FALSE(refused.ok());
    CHECK_THAT(refused.error().text, Contains(file.path) && Contains("another process holds its lock"));
    CHECK_FALSE(reader.lock().ok());

    REQUIRE(first.unlock().ok());
    REQUIRE(first.unlock().ok());
    REQUIRE(reader.lock().ok());
    REQUIRE(other_reader.lock().ok());
    CHECK_FALSE(second.lock().ok());
    REQUIRE(reader.unlock().ok());
    REQUIRE(other_reader.unlock().ok());
    REQUIRE(second.lock().ok());
    CHECK_FALSE(first.lock().ok());
}

TEST_CASE("the holder of a lock is known by its mark", "[blk]") {
    const TestFile file{8192};
    BlkImage holder = open_image(file.path, false);
    const BlkImage other = open_image(file.path, false);
    CHECK(holder.lock_mark() == 0);
    CHECK_FALSE(other.locked_by_stranger(1));
    REQUIRE(holder.lock().ok());
    REQUIRE(holder.lock_mark() != 0);
    CHECK_FALSE(other.locked_by_stranger(holder.lock_mark()));
    CHECK(other.locked_by_stranger(holder.lock_mark() + 1));
    CHECK(other.locked_by_stranger(0));
    const std::uint64_t mark = holder.lock_mark();
    REQUIRE(holder.unlock().ok());
    CHECK(holder.lock_mark() == 0);
    CHECK_FALSE(other.locked_by_stranger(mark));

    // A lock over everything covers the byte as well, and is no mark.
    struct flock all {};
    all.l_type = F_WRLCK;
    REQUIRE(::fcntl(holder.fd().get(), F_OFD_SETLK, &all) == 0);
    CHECK(other.locked_by_stranger(mark));
}

TEST_CASE("a reader's lock is in the way of a writer only", "[blk]") {
    const TestFile file{8192};
    BlkImage reader = open_image(file.path, true);
    const BlkImage other_reader = open_image(file.path, true);
    const BlkImage writer = open_image(file.path, false);
    REQUIRE(reader.lock().ok());
    CHECK_FALSE(other_reader.locked_by_stranger(0));
    CHECK(writer.locked_by_stranger(0));
    CHECK_FALSE(writer.locked_by_stranger(reader.lock_mark()));
}

TEST_CASE("a file that was resized is noticed", "[blk]") {
    const TestFile file{8192};
    const BlkImage image = open_image(file.path, true);
    CHECK(image.bytes_at_start() == 8192);
    CHECK(image.current_bytes() == 8192);
    REQUIRE(::truncate(file.path.c_str(), 512) == 0);
    CHECK(image.current_bytes() == 512);
    CHECK(image.bytes_at_start() == 8192);
}

TEST_CASE("a lock does not outlive its image, whoever still has the file", "[blk]") {
    const TestFile file{4096};
    Fd kept; // as a ring does, for a while after a process has ended
    {
        BlkImage image = open_image(file.path, false);
        REQUIRE(image.lock().ok());
        kept = std::move(image.fd().duplicate()).value();
    }
    CHECK(kept);
    CHECK(open_image(file.path, false).lock().ok());
}

TEST_CASE("the lock goes with the image", "[blk]") {
    const TestFile file{4096};
    auto second = open_image(file.path, false);
    {
        auto first = open_image(file.path, false);
        REQUIRE(first.lock().ok());
        auto moved = std::move(first);
        CHECK(moved.locked());
        CHECK_FALSE(second.lock().ok());
    }
    CHECK(second.lock().ok());
}

} // namespace blk_image_test
