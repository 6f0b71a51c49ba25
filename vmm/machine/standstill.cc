// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/standstill.h"

#include "vmm/base/json.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace godwit {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxText = std::size_t{1} << 20;
constexpr std::size_t kMaxDisks = 256;
constexpr std::uint64_t kMaxTime = std::uint64_t{1} << 62; // ns: the year 2116

Result<std::uint64_t> number(const Json& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_number_unsigned())
        return invalid_input("'{}' is not a number", key);
    return found->get<std::uint64_t>();
}

Result<std::optional<std::int64_t>> time(const Json& object, const char* key) {
    if (!object.contains(key))
        return std::optional<std::int64_t>{};
    const std::uint64_t value = TRY(number(object, key));
    if (value > kMaxTime)
        return invalid_input("'{}': {} is no time", key, value);
    return std::optional{static_cast<std::int64_t>(value)};
}

Result<DiskContent> parse_disk_content(const Json& object) {
    if (!object.is_object())
        return invalid_input("not an object");
    const auto id = object.find("id");
    if (id == object.end() || !id->is_string())
        return invalid_input("'id' is not a string");
    return DiskContent{id->get<std::string>(), TRY(number(object, "bytes")), TRY(time(object, "modified"))};
}

std::string seconds_text(std::int64_t ns) {
    return fmt::format("{}.{:09}", ns / 1'000'000'000, ns % 1'000'000'000);
}

} // namespace

std::string to_json(const Standstill& standstill) {
    Json document = Json::object();
    if (standstill.stopped_at)
        document["stopped"] = *standstill.stopped_at;
    for (const DiskContent& disk : standstill.disks) {
        Json object{{"id", disk.id}, {"bytes", disk.bytes}};
        if (disk.modified)
            object["modified"] = *disk.modified;
        document["disks"].push_back(std::move(object));
    }
    return json_text(document, {.ascii = true});
}

Result<Standstill> parse_standstill(std::string_view text) {
    if (text.empty())
        return Standstill{};
    if (text.size() > kMaxText)
        return invalid_input("{} bytes are too many", text.size());
    const Json document = parse_json(text);
    if (!document.is_object())
        return invalid_input("not a JSON object");
    Standstill standstill;
    standstill.stopped_at = TRY(time(document, "stopped"));
    const auto disks = document.find("disks");
    if (disks == document.end())
        return standstill;
    if (!disks->is_array() || disks->size() > kMaxDisks)
        return invalid_input("'disks' is not a list of up to {} entries", kMaxDisks);
    for (const Json& disk : *disks)
        standstill.disks.push_back(
            TRY_IN(parse_disk_content(disk), fmt::format("entry {} of 'disks'", standstill.disks.size())));
    return standstill;
}

Status check_unchanged(const std::vector<DiskContent>& then, const std::vector<DiskContent>& now) {
    std::string changed;
    for (const DiskContent& before : then) {
        const auto here = std::ranges::find(now, before.id, &DiskContent::id);
        if (here == now.end() || *here == before)
            continue;
        changed += changed.empty() ? "" : "; ";
        if (here->bytes != before.bytes)
            changed += fmt::format("'{}' had {} bytes, and has {}", before.id, before.bytes, here->bytes);
        else if (!here->modified || !before.modified)
            changed += fmt::format("'{}' was a {}, and is a {}", before.id,
                                   before.modified ? "file" : "block device",
                                   here->modified ? "file" : "block device");
        else
            changed += fmt::format("'{}' was last written at {}, its file says {}", before.id,
                                   seconds_text(*before.modified), seconds_text(*here->modified));
    }
    if (changed.empty())
        return {};
    return error(
        ErrorCode::Incompatible,
        "the disks do not hold what they held when the guest was saved: {} (--disks-changed takes them "
        "as they are; `cp -p` keeps a copy's time)",
        changed);
}

} // namespace godwit
