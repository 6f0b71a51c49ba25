// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/json_stream.h"

#include <catch2/catch.hpp>

#include <vector>

namespace godwit::control {
namespace {

using Values = std::vector<std::string>;

// The same whether it comes at once or byte by byte.
Values values(std::string_view text) {
    JsonStream whole;
    whole.append(text);
    Values at_once;
    while (auto value = whole.next())
        at_once.push_back(*value);
    JsonStream parts;
    Values one_by_one;
    for (const char byte : text) {
        parts.append({&byte, 1});
        while (auto value = parts.next())
            one_by_one.push_back(*value);
    }
    REQUIRE(at_once == one_by_one);
    REQUIRE(whole.size() == parts.size());
    return at_once;
}

TEST_CASE("a value ends where its JSON ends") {
    REQUIRE(values(R"({"a":1}{"b":[2,{}]})") == Values{R"({"a":1})", R"({"b":[2,{}]})"});
    REQUIRE(values("\r\n {\n  \"a\": [\n1\n]\n}\n [1]") == Values{"{\n  \"a\": [\n1\n]\n}", "[1]"});
    REQUIRE(values(R"({"a":"}\"]{\\"}{)") == Values{R"({"a":"}\"]{\\"})"});
    REQUIRE(values("").empty());
    REQUIRE(values(" \n\r\t ").empty());
}

TEST_CASE("what is no value is a piece of its own, and the next value is found") {
    REQUIRE(values("nonsense\n{}") == Values{"nonsense", "{}"});
    REQUIRE(values("nonsense{}") == Values{"nonsense", "{}"});
    REQUIRE(values("}{}") == Values{"}", "{}"});
    REQUIRE(values("{\"a\n{}") == Values{"{\"a\n", "{}"});
    REQUIRE(values("\"a b\" 7 {}") == Values{"\"a b\"", "7", "{}"});
}

TEST_CASE("what has begun is there, and blanks are not") {
    JsonStream stream;
    stream.append(" \n ");
    REQUIRE_FALSE(stream.next());
    REQUIRE(stream.size() == 0);
    stream.append("{\"a\": ");
    REQUIRE_FALSE(stream.next());
    REQUIRE(stream.size() > 0);
    stream.append("1}");
    REQUIRE(stream.next() == R"({"a": 1})");
    REQUIRE(stream.size() == 0);
}

TEST_CASE("a value that is too long or too deep is seen before it is whole") {
    JsonStream longest;
    longest.append("[" + std::string(JsonStream::kMaxValue - 2, '1'));
    REQUIRE_FALSE(longest.next());
    REQUIRE_FALSE(longest.too_long());
    longest.append("111");
    REQUIRE_FALSE(longest.next());
    REQUIRE(longest.too_long());

    JsonStream deep;
    deep.append(std::string(JsonStream::kMaxDepth, '['));
    REQUIRE_FALSE(deep.next());
    REQUIRE_FALSE(deep.too_long());
    deep.append("[");
    REQUIRE_FALSE(deep.next());
    REQUIRE(deep.too_long());

    JsonStream many;
    std::string small;
    while (small.size() < 2 * JsonStream::kMaxValue)
        small += "{} ";
    many.append(small);
    std::size_t count = 0;
    while (many.next())
        ++count;
    REQUIRE(count == small.size() / 3);
    REQUIRE_FALSE(many.too_long());
}

} // namespace
} // namespace godwit::control
