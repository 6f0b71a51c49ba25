// SPDX-License-Identifier: Apache-2.0
#include "migration/state/section.h"

#include <catch2/catch.hpp>

namespace godwit {
namespace {

struct Inner {
    std::uint16_t a = 0;
    bool b = false;
};
struct Extra {
    std::uint32_t value = 0;
};
struct Outer {
    std::uint8_t count = 0;
    std::int32_t sign = 0;
    std::array<std::uint16_t, 2> words{};
    std::array<std::byte, 3> raw{};
    std::array<Inner, 2> inner{};
    BoundedBytes<4> tail;
    std::uint64_t late = 77;
    std::optional<Extra> extra;
};

} // namespace

template <>
struct Schema<Inner> {
    static constexpr std::string_view name = "inner";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"a", &Inner::a}, Field{"b", &Inner::b}};
};
template <>
struct Schema<Extra> {
    static constexpr std::string_view name = "outer/extra";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"value", &Extra::value}};
};
template <>
struct Schema<Outer> {
    static constexpr std::string_view name = "outer";
    static constexpr std::uint32_t version = 3;
    static constexpr std::tuple fields{
        Field{"count", &Outer::count},
        Unused{"pad", 2},
        Field{"sign", &Outer::sign},
        Field{"words", &Outer::words},
        Field{"raw", &Outer::raw},
        Field{"inner", &Outer::inner},
        Field<Outer, BoundedBytes<4>>{"tail", &Outer::tail, 0, nullptr,
                                      [](const Outer& s) -> std::size_t { return s.count; }},
        Field{"late", &Outer::late, 3},
    };
    static constexpr std::tuple subsections{Subsection{&Outer::extra}};
    static Status validate(const Outer& s) {
        if (s.sign == 99)
            return corrupt("sign is 99");
        return {};
    }
};
static_assert(schema_is_complete<Inner>());
static_assert(schema_is_complete<Outer>());

namespace {

Outer sample() {
    Outer s;
    s.count = 2;
    s.sign = -2;
    s.words = {0x1234, 0x5678};
    s.raw = {std::byte{1}, std::byte{2}, std::byte{3}};
    s.inner = {Inner{7, true}, Inner{8, false}};
    s.tail.bytes = {std::byte{0xaa}, std::byte{0xbb}};
    s.late = 5;
    s.extra = Extra{0xdeadbeef};
    return s;
}

std::vector<std::byte> saved(const Outer& s) {
    StateWriter writer{"outer", 3};
    writer.fields(s);
    return {writer.bytes().begin(), writer.bytes().end()};
}

Status load(std::span<const std::byte> bytes, Outer& out, std::uint32_t version = 3) {
    ByteReader in{bytes};
    StateReader reader{in, "outer"};
    TRY(reader.fields(out, version));
    if (!in.at_end())
        return corrupt("{} bytes left", in.remaining());
    return {};
}

} // namespace

TEST_CASE("a record has the wire form that the table says", "[state]") {
    const auto bytes = saved(sample());
    const std::uint8_t expected[] = {2,   0,   0,   0xff, 0xff, 0xff, 0xfe, 0x12, 0x34, 0x56, 0x78, 1,   2,
                                     3,   0,   7,   1,    0,    8,    0,    0xaa, 0xbb, 0,    0,    0,   0,
                                     0,   0,   0,   5,    5,    11,   'o',  'u',  't',  'e',  'r',  '/', 'e',
                                     'x', 't', 'r', 'a',  0,    0,    0,    1,    0xde, 0xad, 0xbe, 0xef};
    REQUIRE(bytes.size() == sizeof expected);
    REQUIRE(std::memcmp(bytes.data(), expected, sizeof expected) == 0);
}

TEST_CASE("save, load, save gives equal bytes", "[state]") {
    const auto bytes = saved(sample());
    Outer loaded;
    REQUIRE(load(bytes, loaded).ok());
    REQUIRE(saved(loaded) == bytes);
}

TEST_CASE("every truncation of a record is refused", "[state]") {
    auto whole = sample();
    whole.extra.reset();
    const auto bytes = saved(whole);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        Outer loaded;
        REQUIRE_FALSE(load(std::span{bytes}.first(length), loaded).ok());
    }
}

TEST_CASE("errors name the field", "[state]") {
    auto bytes = saved(sample());
    SECTION("a truth value above one") {
        bytes[16] = std::byte{2};
        Outer loaded;
        const auto status = load(bytes, loaded);
        REQUIRE(status.error().text == "outer.inner.b: 2 is not a truth value");
    }
    SECTION("a count above its bound") {
        bytes[0] = std::byte{5};
        Outer loaded;
        REQUIRE(load(bytes, loaded).error().text == "outer.tail: 5 bytes, at most 4 can be");
    }
    SECTION("a value that validation refuses") {
        auto bad = sample();
        bad.sign = 99;
        Outer loaded;
        REQUIRE(load(saved(bad), loaded).error().text == "outer: sign is 99");
    }
    SECTION("an unknown subsection") {
        bytes[42] = std::byte{'x'};
        Outer loaded;
        REQUIRE(load(bytes, loaded).error().text.find("unknown subsection 'outer/extrx") !=
                std::string::npos);
    }
}

TEST_CASE("a length in the stream sizes nothing beyond its bound (CVE-2023-50711)", "[state]") {
    // The count is one field, the bytes that it is for are another; any byte may lie.
    const auto bytes = saved(sample());
    for (unsigned value = 0; value < 256; ++value)
        for (std::size_t at = 0; at < bytes.size(); ++at) {
            auto changed = bytes;
            changed[at] = static_cast<std::byte>(value);
            Outer loaded;
            const bool taken = load(changed, loaded).ok();
            REQUIRE(loaded.tail.bytes.size() <= loaded.tail.kMaximum);
            if (taken)
                REQUIRE(loaded.tail.bytes.size() == loaded.count);
        }
}

TEST_CASE("an older record lacks newer fields, which keep their defaults", "[state]") {
    auto old = sample();
    old.extra.reset();
    auto bytes = saved(old);
    bytes.resize(bytes.size() - 8);
    Outer loaded;
    REQUIRE(load(bytes, loaded, 2).ok());
    REQUIRE(loaded.late == 77);
}

TEST_CASE("the description names every field with its size", "[state]") {
    StateWriter writer{"outer", 3};
    writer.fields(sample());
    const auto& record = writer.description();
    std::size_t total = 0;
    for (const auto& field : record.fields)
        total += field.size * field.array_length.value_or(1);
    REQUIRE(total == 30);
    REQUIRE(record.fields[3].name == "words");
    REQUIRE(record.fields[3].array_length == 2);
    REQUIRE(record.fields[5].structure[0].fields[1].name == "b");
    REQUIRE(record.fields[6].index == 1);
    REQUIRE(record.subsections[0].name == "outer/extra");
}

} // namespace godwit
