// SPDX-License-Identifier: Apache-2.0
#include "migration/preflight/difference.h"

#include "migration/preflight/wire_text.h"

#include <cassert>

namespace godwit::migration {

namespace {

std::string filled(std::string_view text, const std::vector<std::string>& values) {
    std::string out;
    auto value = values.begin();
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '{') {
            out += text[at];
            continue;
        }
        ++at; // the closing one
        assert(value != values.end() && "fewer values than places");
        out += *value++;
    }
    assert(value == values.end() && "more values than places");
    return out;
}

} // namespace

Difference difference(Reason reason, std::string subject, const std::vector<std::string>& values) {
    const ReasonEntry& entry = entry_of(reason);
    return {std::string{entry.code}, std::move(subject), filled(entry.text, values)};
}

Error as_error(std::span<const Difference> differences) {
    std::string text;
    for (const Difference& one : differences)
        text += fmt::format("{}{} [{}]", text.empty() ? "" : "; ", one.sentence(), one.code);
    return {ErrorCode::Incompatible, text.empty() ? "the machines do not fit" : std::move(text)};
}

std::vector<std::byte> encode(std::span<const Difference> differences) {
    ByteWriter list;
    std::uint32_t count = 0;
    for (const Difference& one : differences) {
        ByteWriter entry;
        for (const std::string* const part : {&one.code, &one.subject, &one.text})
            put_text(entry, std::string_view{*part}.substr(0, kMaxDifferenceText));
        if (count == kMaxDifferences || 8 + list.size() + entry.size() > kMaxDifferenceBytes)
            break;
        list.append(entry.bytes());
        ++count;
    }
    ByteWriter out;
    out.le(count);
    out.le(static_cast<std::uint32_t>(differences.size() - count)); // left out
    out.append(list.bytes());
    return out.take();
}

Result<Differences> decode_differences(std::span<const std::byte> body) {
    ByteReader in{body};
    const auto count = TRY(in.le<std::uint32_t>());
    const auto left_out = TRY(in.le<std::uint32_t>());
    if (count > kMaxDifferences)
        return error(ErrorCode::Protocol, "{} differences, at most {} can be", count, kMaxDifferences);
    Differences found;
    for (std::uint32_t i = 0; i < count; ++i) {
        Difference one;
        one.code = TRY(get_text(in, kMaxDifferenceText, "code of a difference"));
        one.subject = TRY(get_text(in, kMaxDifferenceText, "subject of a difference"));
        one.text = TRY(get_text(in, kMaxDifferenceText, "text of a difference"));
        found.push_back(std::move(one));
    }
    TRY(at_end(in));
    if (left_out != 0)
        found.push_back({"more", "preflight", fmt::format("{} more differences are not listed", left_out)});
    return found;
}

} // namespace godwit::migration
