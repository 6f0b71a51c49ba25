// SPDX-License-Identifier: Apache-2.0
#include "migration/boot/boot_assembly.h"
#include "migration/protocol/crc32c.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <vector>

namespace godwit::migration {

namespace {

using enum BootPart;
constexpr std::uint64_t kRam = std::uint64_t{1} << 20;

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span{text});
}

std::vector<std::byte> content_of(const Blob& blob) {
    std::vector<std::byte> bytes(blob.size());
    REQUIRE(blob.read(0, bytes).ok());
    return bytes;
}

std::string refusal(const Result<std::uint32_t>& added) {
    REQUIRE_FALSE(added.ok());
    CHECK(added.error().code == ErrorCode::Corrupt);
    return added.error().text;
}

} // namespace

TEST_CASE("pieces become a boot source", "[boot-source]") {
    const bool with_initrd = GENERATE(true, false);
    BootAssembly assembly{kRam};
    REQUIRE(assembly.add(Kernel, 6, 0, bytes_of("ker")).ok());
    const auto sum = assembly.add(Kernel, 6, 3, bytes_of("nel"));
    REQUIRE(sum.ok());
    CHECK(*sum == crc32c(bytes_of("kernel"))); // of the whole part
    if (with_initrd)
        REQUIRE(assembly.add(Initrd, 2, 0, bytes_of("rd")).ok());
    CHECK_FALSE(assembly.complete());
    REQUIRE(assembly.add(CommandLine, 5, 0, bytes_of("quiet")).ok());
    REQUIRE(assembly.complete());
    const auto source = std::move(assembly).take();
    REQUIRE(source.ok());
    CHECK(std::ranges::equal(content_of((*source)->kernel), bytes_of("kernel")));
    REQUIRE((*source)->initrd.has_value() == with_initrd);
    if (with_initrd)
        CHECK(std::ranges::equal(content_of(*(*source)->initrd), bytes_of("rd")));
    CHECK((*source)->command_line == "quiet");
    CHECK((*source)->bytes() == (with_initrd ? 13 : 11));
}

TEST_CASE("an empty command line ends a boot source", "[boot-source]") {
    BootAssembly assembly{kRam};
    REQUIRE(assembly.add(Kernel, 1, 0, bytes_of("k")).ok());
    REQUIRE(assembly.add(CommandLine, 0, 0, {}).ok());
    CHECK(assembly.complete());
    CHECK(refusal(assembly.add(CommandLine, 0, 0, {})).find("everything is here") != std::string::npos);
}

TEST_CASE("totals are bounded before anything is kept", "[boot-source]") {
    const std::byte one{};
    const auto first = [&](BootPart part, std::uint64_t total) {
        BootAssembly assembly{kRam};
        if (part != Kernel)
            REQUIRE(assembly.add(Kernel, 1, 0, {&one, 1}).ok());
        return assembly.add(part, total, 0, {&one, total == 0 ? 0u : 1u});
    };
    CHECK(first(Kernel, kRam).ok());
    CHECK(refusal(first(Kernel, kRam + 1)) == "kernel of 1048577 bytes, 1 to 1048576 can be");
    CHECK(refusal(first(Kernel, 0)) == "kernel of 0 bytes, 1 to 1048576 can be");
    CHECK(first(Initrd, kRam).ok());
    CHECK(refusal(first(Initrd, ~std::uint64_t{0})).find("initrd of") == 0);
    CHECK(refusal(first(Initrd, 0)).find("1 to 1048576 can be") != std::string::npos);
    CHECK(first(CommandLine, kMaxBootCommandLine).ok());
    CHECK(refusal(first(CommandLine, kMaxBootCommandLine + 1)).find("0 to 65536 can be") !=
          std::string::npos);
}

TEST_CASE("pieces that do not fit together are refused", "[boot-source]") {
    BootAssembly assembly{kRam};
    SECTION("another part before the kernel") {
        CHECK(refusal(assembly.add(Initrd, 4, 0, bytes_of("init"))) == "the initrd comes out of order");
        CHECK(refusal(assembly.add(CommandLine, 4, 0, bytes_of("line"))).find("out of order") !=
              std::string::npos);
    }
    SECTION("within a part") {
        REQUIRE(assembly.add(Kernel, 6, 0, bytes_of("ker")).ok());
        CHECK(refusal(assembly.add(Kernel, 7, 3, bytes_of("nel"))) == "the kernel has 7 bytes now, 6 before");
        CHECK(refusal(assembly.add(Kernel, 6, 2, bytes_of("nel"))) ==
              "3 bytes of the kernel from byte 2 on; 3 of 6 are here");
        CHECK(refusal(assembly.add(Kernel, 6, 4, bytes_of("el"))).find("from byte 4") != std::string::npos);
        CHECK(refusal(assembly.add(Kernel, 6, 3, bytes_of("nell"))).find("4 bytes") != std::string::npos);
        CHECK(refusal(assembly.add(Kernel, 6, 3, {})).find("0 bytes") != std::string::npos);
        CHECK(refusal(assembly.add(Initrd, 2, 0, bytes_of("rd"))).find("another part is not complete") !=
              std::string::npos);
    }
    SECTION("a part again, and an earlier one") {
        REQUIRE(assembly.add(Kernel, 1, 0, bytes_of("k")).ok());
        CHECK(refusal(assembly.add(Kernel, 1, 0, bytes_of("k"))).find("from byte 0") != std::string::npos);
        CHECK(refusal(assembly.add(Kernel, 1, 1, bytes_of("k"))).find("from byte 1") != std::string::npos);
        REQUIRE(assembly.add(Initrd, 1, 0, bytes_of("i")).ok());
        CHECK(refusal(assembly.add(Kernel, 1, 0, bytes_of("k"))) == "the kernel comes out of order");
    }
    SECTION("a command line with a zero byte") {
        REQUIRE(assembly.add(Kernel, 1, 0, bytes_of("k")).ok());
        CHECK(refusal(assembly.add(CommandLine, 3, 0, bytes_of({"a\0b", 3}))) ==
              "the command line has a zero byte");
        CHECK_FALSE(assembly.complete());
    }
    CHECK_FALSE(std::move(assembly).take().ok());
}

} // namespace godwit::migration
