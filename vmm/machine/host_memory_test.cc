// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/host_memory.h"

#include "vmm/memory/guest_memory.h"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

using namespace godwit;

TEST_CASE("what is free is found in /proc/meminfo", "[host-memory]") {
    REQUIRE(parse_mem_available("MemTotal:  9 kB\nMemAvailable:    2048 kB\nBuffers: 1 kB\n") == 2048 * 1024);
    REQUIRE_FALSE(parse_mem_available("MemTotal:  9 kB\n").has_value());
    REQUIRE_FALSE(parse_mem_available("").has_value());
    REQUIRE(available_memory() > 0);
    REQUIRE(available_memory() < std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("a control group leaves what it has not used up", "[host-memory]") {
    REQUIRE(parse_group_rest("1000\n", "900\n", "anon 5\ninactive_file 300\nactive_file 100\n") == 500);
    REQUIRE(parse_group_rest("1000\n", "900\n", "") == 100);
    REQUIRE(parse_group_rest("1000\n", "1900\n", "") == 0);
    REQUIRE(parse_group_rest("1000\n", "10\n", "inactive_file 90\n") == 1000);
    REQUIRE_FALSE(parse_group_rest("max\n", "900\n", "").has_value());
    REQUIRE_FALSE(parse_group_rest("", "", "").has_value());
}

TEST_CASE("control groups of either version count, up to the root", "[host-memory]") {
    namespace fs = std::filesystem;
    char name[] = "/tmp/godwit-groups-XXXXXX";
    const fs::path root = ::mkdtemp(name);
    const auto group = [](const fs::path& folder, const char* limit, const char* used, const char* max_name,
                          const char* used_name, const char* stat) {
        fs::create_directories(folder);
        std::ofstream{folder / max_name} << limit;
        std::ofstream{folder / used_name} << used;
        std::ofstream{folder / "memory.stat"} << stat;
    };
    const auto second = [&](const fs::path& folder, const char* limit, const char* used) {
        group(folder, limit, used, "memory.max", "memory.current", "inactive_file 10\n");
    };
    const auto first = [&](const fs::path& folder, const char* limit, const char* used) {
        group(folder, limit, used, "memory.limit_in_bytes", "memory.usage_in_bytes",
              "inactive_file 1\ntotal_inactive_file 50\n");
    };
    CHECK_FALSE(groups_rest("0::/\n", root).has_value());
    second(root / "a/b", "max", "5");
    second(root / "a", "1000", "310");
    CHECK(groups_rest("0::/a/b\n", root) == 700);
    CHECK_FALSE(groups_rest("0::/elsewhere\n", root).has_value());
    second(root, "600", "10"); // as in a container
    CHECK(groups_rest("0::/\n", root) == 600);
    CHECK(groups_rest("0::/a/b\n", root) == 600);
    first(root / "memory/docker/1", "500", "150");
    CHECK(groups_rest("3:cpu:/docker/1\n5:hugetlb,memory:/docker/1\n0::/a\n", root) == 400);
    CHECK(groups_rest("3:cpu:/docker/1\n5:memory2:/docker/1\nnonsense\n::\n:/\n", root) == std::nullopt);
    first(root / "memory", "300", "150");
    CHECK(groups_rest("5:memory:/not/seen/here\n", root) == 200);
    fs::remove_all(root);
}

TEST_CASE("memory that was never touched takes up none", "[host-memory]") {
    auto memory = std::move(GuestMemory::create(std::uint64_t{8} << 20, std::uint64_t{3} << 30)).value();
    const std::span<std::byte> all{memory->host(RamOffset{0}), static_cast<std::size_t>(memory->size())};
    REQUIRE(resident_bytes(all) == 0);
    memory->host(RamOffset{0})[0] = std::byte{1};
    REQUIRE(resident_bytes(all) >= kPageSize);
    REQUIRE(resident_bytes(all) <= std::uint64_t{4} << 20);
}
