// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/stable_storage.h"

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

using namespace godwit;
using namespace godwit::virtio;
using Catch::Matchers::Contains;

namespace {

std::shared_ptr<StableStorage> good_storage() {
    const std::unique_ptr<FILE, decltype(&std::fclose)> file{std::tmpfile(), &std::fclose};
    return std::make_shared<StableStorage>(Fd::adopt(::dup(::fileno(file.get()))), "good");
}

// A pipe has no storage: to sync it is an error.
std::shared_ptr<StableStorage> bad_storage() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    ::close(ends[0]);
    return std::make_shared<StableStorage>(Fd::adopt(ends[1]), "bad");
}

} // namespace

TEST_CASE("a write-back that failed is told for ever, by its first reason", "[blk]") {
    const auto storage = bad_storage();
    REQUIRE(storage->check().ok());
    const Status lost = storage->write_back();
    REQUIRE_FALSE(lost.ok());
    CHECK_THAT(lost.error().text, Contains("disk 'bad'") && Contains("Invalid argument"));
    storage->failed(EIO);
    CHECK(storage->write_back().error().text == lost.error().text);
    CHECK(storage->check().error().text == lost.error().text);
}

TEST_CASE("what somebody else was told holds too", "[blk]") {
    const auto storage = good_storage();
    REQUIRE(storage->write_back().ok());
    storage->failed(EIO);
    CHECK_THAT(storage->write_back().error().text, Contains("Input/output error"));
}

TEST_CASE("all storages are written back, whatever becomes of one", "[blk]") {
    const std::array storages{good_storage(), bad_storage(), bad_storage(), good_storage()};
    CHECK_FALSE(write_back_all(storages).ok());
    CHECK_FALSE(storages[2]->check().ok());
    CHECK(storages[3]->check().ok());
}
