// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/text.h"

#include <catch2/catch.hpp>

namespace text_test {

using namespace godwit;

TEST_CASE("what a log or a terminal gets has no control characters", "[base]") {
    using namespace std::string_literals;
    CHECK(without_controls("a line\n\tand another, \u00fc") == "a line\n\tand another, \u00fc");
    CHECK(without_controls("\x1b[2J\x1b]0;title\x07\r\x7f\0end"s) == "?[2J?]0;title????end");
}

} // namespace text_test
