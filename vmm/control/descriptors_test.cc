// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/descriptors.h"

#include <catch2/catch.hpp>
#include <fcntl.h>

using namespace godwit;
using namespace godwit::control;
using Catch::Matchers::Contains;

namespace {

Fd opened() {
    return std::move(open_file("/dev/null", O_RDONLY)).value();
}

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) != -1;
}

// That a client has handed over, without a name so far.
struct Two {
    Two() {
        descriptors.arrived(std::move(first));
        descriptors.arrived(std::move(second));
    }
    Fd first = opened(), second = opened();
    const int one = first.get(), two = second.get();
    Descriptors descriptors;
};

} // namespace

TEST_CASE_METHOD(Two, "descriptors get names in the order in which they came", "[descriptors]") {
    REQUIRE(descriptors.name("a").ok());
    REQUIRE(descriptors.name("b").ok());
    CHECK(descriptors.take("b")->get() == two);
    CHECK(descriptors.take("a")->get() == one);
    CHECK_THAT(descriptors.take("a").error().text, Contains("'a'"));
}

TEST_CASE_METHOD(Two, "a name that is given again, or closed, closes what had it", "[descriptors]") {
    REQUIRE(descriptors.name("a").ok());
    REQUIRE(descriptors.name("a").ok());
    CHECK_FALSE(is_open(one));
    REQUIRE(descriptors.close("a").ok());
    CHECK_FALSE(is_open(two));
    CHECK_FALSE(descriptors.close("a").ok());
}

TEST_CASE("a number is no name, and its descriptor is not kept", "[descriptors]") {
    Descriptors descriptors;
    for (const char* const name : {"7", "0x", ""}) {
        Fd fd = opened();
        const int number = fd.get();
        descriptors.arrived(std::move(fd));
        CHECK_FALSE(descriptors.name(name).ok());
        CHECK_FALSE(is_open(number));
    }
    CHECK_THAT(descriptors.name("a").error().text, Contains("no descriptor came"));
}

TEST_CASE("a client cannot hand over without end", "[descriptors]") {
    Descriptors descriptors;
    for (std::size_t i = 0; i < 2 * Descriptors::kMax; ++i)
        descriptors.arrived(opened());
    std::size_t named = 0;
    while (descriptors.name("n" + std::to_string(named)).ok())
        ++named;
    CHECK(named == Descriptors::kMax);
}
