// SPDX-License-Identifier: Apache-2.0
#include "migration/preflight/difference.h"

#include "migration/preflight/wire_text.h"

#include <algorithm>
#include <cassert>
#include <iterator>

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
    return {std::string{entry.code}, std::move(subject), filled(entry.text, values), entry.weight};
}

void accept(Differences& differences, std::span<const std::string> codes) {
    for (Difference& one : differences)
        if (one.weight == Weight::Refuses && std::ranges::find(codes, one.code) != codes.end())
            one.weight = Weight::Accepted;
}

Status check_acceptable(std::string_view code) {
    const auto entry = std::ranges::find(kReasons, code, &ReasonEntry::code);
    if (entry == kReasons.end())
        return invalid_input("'{}' is no reason that could be accepted (docs/preflight.md lists them)", code);
    if (entry->reason == Reason::VersionProtocol)
        return invalid_input("'{}' cannot be accepted: such a source is not understood", code);
    return {};
}

Differences refusing(std::span<const Difference> differences) {
    Differences found;
    std::ranges::copy_if(differences, std::back_inserter(found),
                         [](const Difference& one) { return one.weight == Weight::Refuses; });
    return found;
}

Differences not_refusing(std::span<const Difference> differences) {
    Differences found;
    std::ranges::copy_if(differences, std::back_inserter(found),
                         [](const Difference& one) { return one.weight != Weight::Refuses; });
    return found;
}

Error as_error(std::span<const Difference> differences) {
    std::string text;
    for (const Difference& one : differences)
        text += fmt::format("{}{} [{}]", text.empty() ? "" : "; ", one.sentence(), one.code);
    return {ErrorCode::Incompatible, text.empty() ? "the machines do not fit" : std::move(text)};
}

std::vector<std::byte> encode(std::span<const Difference> differences, Weights weights) {
    ByteWriter list;
    std::uint32_t count = 0;
    for (const Difference& one : differences) {
        ByteWriter entry;
        for (const std::string* const part : {&one.code, &one.subject, &one.text})
            put_text(entry, std::string_view{*part}.substr(0, kMaxDifferenceText));
        if (count == kMaxDifferences ||
            8 + kMaxDifferences + list.size() + entry.size() > kMaxDifferenceBytes)
            break;
        list.append(entry.bytes());
        ++count;
    }
    ByteWriter out;
    out.le(count);
    out.le(static_cast<std::uint32_t>(differences.size() - count)); // left out
    out.append(list.bytes());
    for (std::uint32_t i = 0; weights == Weights::Told && i < count; ++i)
        out.le(static_cast<std::uint8_t>(differences[i].weight));
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
    if (in.remaining() != 0)
        for (Difference& one : found) {
            const auto weight = TRY(in.le<std::uint8_t>());
            if (weight > static_cast<std::uint8_t>(Weight::Accepted))
                return error(ErrorCode::Protocol, "weight {} of a difference", weight);
            one.weight = Weight{weight};
        }
    TRY(at_end(in));
    if (left_out != 0)
        found.push_back({"more", "preflight", fmt::format("{} more differences are not listed", left_out)});
    return found;
}

} // namespace godwit::migration
