// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/guest_memory.h"

#include <catch2/catch.hpp>

using namespace godwit;

namespace {
constexpr std::uint64_t kMiB = 1 << 20;

std::vector<std::uint64_t> harvested(GuestMemory& memory) {
    std::vector<std::uint64_t> words(memory.dirty().word_count());
    memory.dirty().harvest_into(words);
    return words;
}
} // namespace

TEST_CASE("RAM that does not fit below the hole continues at 4 GiB", "[memory]") {
    auto memory = std::move(GuestMemory::create(4 * kMiB, 3 * kMiB)).value();
    REQUIRE(memory->regions().size() == 2);
    REQUIRE(memory->regions()[1].base == Gpa{std::uint64_t{4} << 30});
    REQUIRE(memory->locate(Gpa{std::uint64_t{4} << 30}, kMiB)->value == 3 * kMiB);
    REQUIRE_FALSE(memory->locate(Gpa{3 * kMiB - 1}, 2).ok());
    REQUIRE_FALSE(memory->locate(Gpa{(std::uint64_t{4} << 30) + kMiB}, 1).ok());
}

TEST_CASE("a length that wraps is not RAM", "[memory]") {
    auto memory = std::move(GuestMemory::create(2 * kMiB, 3 * kMiB)).value();
    REQUIRE_FALSE(memory->locate(Gpa{16}, ~std::uint64_t{0}).ok());
    REQUIRE_FALSE(memory->locate(Gpa{~std::uint64_t{0}}, 2).ok());
    REQUIRE(memory->locate(Gpa{2 * kMiB}, 0).ok());
}

TEST_CASE("every kind of write marks its pages, and only while the map is on", "[memory]") {
    auto memory = std::move(GuestMemory::create(kMiB, 3 * kMiB)).value();
    REQUIRE(memory->write(Gpa{0}, std::uint32_t{1}).ok());
    REQUIRE(harvested(*memory)[0] == 0);

    memory->dirty().start();
    REQUIRE(memory->write(Gpa{kPageSize - 2}, std::uint32_t{1}).ok());
    REQUIRE(harvested(*memory)[0] == 0b11);
    REQUIRE(harvested(*memory)[0] == 0);
    REQUIRE(memory->store_release<std::uint16_t>(Gpa{2 * kPageSize}, 7).ok());
    REQUIRE(memory->fetch_or<std::uint8_t>(Gpa{3 * kPageSize}, 1).ok());
    memory->writable(Gpa{4 * kPageSize}, 2 * kPageSize)->wrote(kPageSize + 1);
    const std::byte one{1};
    memory->writable(Gpa{64 * kPageSize}, 8)->copy_in(7, {&one, 1});
    const auto words = harvested(*memory);
    REQUIRE(words[0] == 0b111100);
    REQUIRE(words[1] == 1);
}

TEST_CASE("a mark never goes beyond the map (CVE-2019-14835)", "[memory]") {
    auto memory = std::move(GuestMemory::create(kMiB, 3 * kMiB)).value();
    memory->dirty().start();
    const Gpa last{memory->size() - kPageSize};
    REQUIRE(memory->write(last, std::uint32_t{1}).ok());
    REQUIRE_FALSE(memory->write(Gpa{memory->size() - 2}, std::uint32_t{1}).ok());
    REQUIRE_FALSE(memory->writable(last, kPageSize + 1).ok());
    REQUIRE_FALSE(memory->writable(Gpa{~std::uint64_t{0} - 3}, 8).ok());
    const auto words = harvested(*memory);
    std::uint64_t marks = 0;
    for (const std::uint64_t word : words)
        marks += static_cast<std::uint64_t>(__builtin_popcountll(word));
    REQUIRE(marks == 1);
}

TEST_CASE("an index must be aligned", "[memory]") {
    auto memory = std::move(GuestMemory::create(kMiB, 3 * kMiB)).value();
    REQUIRE_FALSE(memory->load_acquire<std::uint16_t>(Gpa{1}).ok());
    REQUIRE(memory->store_release<std::uint16_t>(Gpa{2}, 0x1234).ok());
    REQUIRE(*memory->load_acquire<std::uint16_t>(Gpa{2}) == 0x1234);
}

TEST_CASE("a span of fixed extent is written as its bytes", "[memory]") {
    auto memory = std::move(GuestMemory::create(kMiB, 3 * kMiB)).value();
    constexpr std::uint32_t words[] = {0x11111111, 0x22222222};
    REQUIRE(memory->write(Gpa{8}, std::as_bytes(std::span{words})).ok());
    REQUIRE(*memory->read<std::uint32_t>(Gpa{12}) == 0x22222222);
}
