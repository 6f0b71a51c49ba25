// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/blk_discard.h"

#include "devices/virtio/driver_fake.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

namespace blk_discard_test {

using namespace godwit;
using namespace godwit::virtio;
using Catch::Matchers::Contains;

namespace {

// A folder like a device's in sysfs.
struct QueueFolder {
    QueueFolder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
    ~QueueFolder() { std::filesystem::remove_all(path); }
    void put(const char* name, const std::string& text) const { std::ofstream{path + "/" + name} << text; }
    void put(const std::string& granularity, const std::string& most, const std::string& zeroes) const {
        put("discard_granularity", granularity);
        put("discard_max_bytes", most);
        put("write_zeroes_max_bytes", zeroes);
    }
    std::string path = "/tmp/godwit-queue-XXXXXX";
};

} // namespace

TEST_CASE("what a device can discard is read as the driver is told it", "[blk]") {
    const QueueFolder folder;
    folder.put("65536\n", "1073741824\n", "0\n"); // a thin volume
    CHECK(must(read_discard_limits(folder.path)) == DiscardLimits{true, 128, 2097152, false});
    folder.put("512\n", "2199023255040\n", "2199023255040\n");
    CHECK(must(read_discard_limits(folder.path)) == DiscardLimits{true, 1, kBlkMaxRangeSectors, true});
    folder.put("0\n", "0\n", "4096\n");
    CHECK(must(read_discard_limits(folder.path)) == DiscardLimits{false, 1, 0, true});
}

TEST_CASE("limits that are not numbers, or not there, are none", "[blk]") {
    const QueueFolder folder;
    CHECK_THAT(read_discard_limits(folder.path).error().text, Contains("discard_granularity"));
    folder.put("512\n", "many\n", "0\n");
    CHECK_THAT(read_discard_limits(folder.path).error().text,
               Contains("discard_max_bytes: this is not a number"));
    folder.put("512\n", "", "0\n");
    CHECK_FALSE(read_discard_limits(folder.path).ok());
    CHECK_FALSE(device_discard_limits(4095, 1).possible);
}

} // namespace blk_discard_test
