// SPDX-License-Identifier: Apache-2.0
//
// The JSON description of a stream: parsed, and a section's bytes walked along it; what the loader takes from
// it.
#include "migration/inspect/cursor.h"
#include "migration/inspect/description.h"
#include "migration/inspect/walker.h"
#include "migration/wire/sample_stream.h"
#include "vmm/base/fuzz.h"

namespace {

using namespace godwit;
using namespace godwit::migration;

// So that what a description costs is seen.
constexpr std::size_t kFields = 20'000;

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    std::vector<Seed> seeds;
    for (const bool sums : {false, true}) {
        const Bytes stream = test::sample_stream({}, sums);
        const auto start = wire::find_description(stream);
        require(start.has_value(), "a sample has a description");
        const Bytes body(200, std::byte{1});
        Bytes input = bytes_of("200\n"); // the body, then the description
        input.insert(input.end(), body.begin(), body.end());
        input.insert(input.end(), stream.begin() + static_cast<std::ptrdiff_t>(*start + 5), stream.end());
        seeds.push_back({sums ? "sums" : "whole", std::move(input)});
    }
    return seeds;
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // A line with the length of a section's body, the body, and the description of it.
    fuzz::Input in{data, size};
    std::size_t length = 0;
    for (char c = static_cast<char>(in.byte()); c >= '0' && c <= '9'; c = static_cast<char>(in.byte()))
        length = std::min<std::size_t>(length * 10 + static_cast<std::size_t>(c - '0'), 4096);
    const auto body = in.take(length);
    const auto text = fuzz::text_of(in.rest());

    (void)wire::find_description(std::as_bytes(std::span{text}));
    (void)wire::sums_in(text);
    const wire::GuestNotes notes = wire::notes_in(text);
    fuzz::require(notes.cpu.size() + notes.guest.size() <= 2 * text.size(), "notes are parts of the text");
    const auto parsed = inspect::parse_description(text);
    if (!parsed.ok())
        return 0;
    for (const auto& section : parsed->sections) {
        std::size_t budget = kFields;
        inspect::Cursor cursor{body, 0, budget};
        (void)inspect::walk(cursor, section.description, section.name);
        fuzz::require(cursor.offset() <= body.size(), "a walk stays in its body");
        (void)cursor.finish();
    }
    return 0;
}
