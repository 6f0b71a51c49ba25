// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/blob.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <sys/mman.h>
#include <vector>

namespace godwit {

namespace {

Blob blob_of(std::size_t size) {
    auto writer = BlobWriter::create("test");
    REQUIRE(writer.ok());
    for (std::size_t at = 0; at < size; ++at) {
        const auto byte = static_cast<std::byte>(at * 7);
        REQUIRE(writer->append({&byte, 1}).ok());
    }
    CHECK(writer->size() == size);
    auto blob = std::move(*writer).seal();
    REQUIRE(blob.ok());
    return std::move(blob).value();
}

} // namespace

TEST_CASE("a blob holds what was written, for everybody who has it", "[blob]") {
    std::vector<std::byte> bytes(5000);
    const Blob second = [&] {
        const Blob first = blob_of(5000);
        return first;
    }();
    REQUIRE(second.size() == 5000);
    REQUIRE(second.read(0, bytes).ok());
    CHECK(bytes[4999] == std::byte{4999 * 7 % 256});
    const auto mapped = second.map();
    REQUIRE(mapped.ok());
    CHECK(std::ranges::equal(mapped->bytes(), bytes));
    CHECK_FALSE(second.read(4999, std::span{bytes}.first(2)).ok());
}

TEST_CASE("nobody can change a blob", "[blob]") {
    const Blob blob = blob_of(100);
    bool found = false;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        std::error_code gone;
        if (std::filesystem::read_symlink(entry, gone).string().starts_with("/memfd:test")) {
            found = true;
            const auto fd = open_file(entry.path().string(), O_RDWR);
            REQUIRE(fd.ok());
            CHECK(::ftruncate(fd->get(), 0) != 0);
            CHECK_FALSE(Mapping::of_file(*fd, 100, PROT_READ | PROT_WRITE, true).ok());
        }
    }
    CHECK(found);
}

TEST_CASE("an empty blob is one too", "[blob]") {
    const Blob blob = blob_of(0);
    CHECK(blob.size() == 0);
    const auto mapped = blob.map();
    REQUIRE(mapped.ok());
    CHECK(mapped->size() == 0);
}

} // namespace godwit
