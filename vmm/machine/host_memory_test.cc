// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/host_memory.h"

#include "vmm/memory/guest_memory.h"

#include <catch2/catch.hpp>

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

TEST_CASE("memory that was never touched takes up none", "[host-memory]") {
    auto memory = std::move(GuestMemory::create(std::uint64_t{8} << 20, std::uint64_t{3} << 30)).value();
    const std::span<std::byte> all{memory->host(RamOffset{0}), static_cast<std::size_t>(memory->size())};
    REQUIRE(resident_bytes(all) == 0);
    memory->host(RamOffset{0})[0] = std::byte{1};
    REQUIRE(resident_bytes(all) >= kPageSize);
    REQUIRE(resident_bytes(all) <= std::uint64_t{4} << 20);
}
