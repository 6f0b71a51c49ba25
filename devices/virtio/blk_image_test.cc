// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/blk_image.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <sys/stat.h>
#include <unistd.h>

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
