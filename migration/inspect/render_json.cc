// SPDX-License-Identifier: Apache-2.0
#include "migration/inspect/json.h"
#include "migration/inspect/render.h"
#include "migration/wire/stream_writer.h" // for section_label
#include "vmm/base/json.h"
#include "vmm/base/text.h"

#include <fmt/core.h>

#include <iterator>

namespace godwit::migration::inspect {

namespace {

Json number_json(const View& view, const Field& field, std::size_t element) {
    const std::uint64_t value = number_at(view, field, element);
    if (field.kind == Field::Kind::Bool && value <= 1)
        return value != 0;
    if (field.kind == Field::Kind::Signed)
        return static_cast<std::int64_t>(value);
    return value;
}

Json fields_json(const View& view, const std::vector<Field>& fields, Field::Kind kind);

Json field_json(const View& view, const Field& field) {
    Json json;
    json["name"] = field.name;
    if (field.index.has_value())
        json["index"] = *field.index;
    json["type"] = field.type;
    if (field.kind == Field::Kind::Struct || field.kind == Field::Kind::Subsection) {
        if (field.kind == Field::Kind::Struct)
            json["record"] = field.record;
        json["version"] = field.version;
        json["fields"] = fields_json(view, field.children, Field::Kind::Struct);
        if (Json inner = fields_json(view, field.children, Field::Kind::Subsection); !inner.empty())
            json["subsections"] = std::move(inner);
        return json;
    }
    json["size"] = field.array ? std::uint64_t{field.width} : field.size;
    json["value"] = value_json(view, field);
    return json;
}

// Subsections follow the fields of their record; they have a list of their own.
Json fields_json(const View& view, const std::vector<Field>& fields, Field::Kind kind) {
    Json list = Json::array();
    for (const Field& field : fields)
        if ((field.kind == Field::Kind::Subsection) == (kind == Field::Kind::Subsection))
            list.push_back(field_json(view, field));
    return list;
}

Json section_json(const View& view, const Section& section) {
    Json json;
    json["name"] = section.name;
    json["instance"] = section.instance;
    json["version"] = section.version;
    json["id"] = section.id;
    json["record"] = section.record;
    json["offset"] = section.offset;
    json["size"] = section.size;
    json["body_size"] = section.body_size;
    json["decoded"] = section.decoded;
    json["fields"] = fields_json(view, section.fields, Field::Kind::Struct);
    if (Json inner = fields_json(view, section.fields, Field::Kind::Subsection); !inner.empty())
        json["subsections"] = std::move(inner);
    return json;
}

Json ram_json(const Ram& ram) {
    Json json{
        {"offset", ram.offset}, {"size", ram.size}, {"parts", ram.sections}, {"complete", ram.complete}};
    json["blocks"] = Json::array();
    for (const RamBlock& block : ram.blocks)
        json["blocks"].push_back({{"name", block.name},
                                  {"size", block.size},
                                  {"data_pages", block.data_pages},
                                  {"zero_pages", block.zero_pages},
                                  {"packed_pages", block.packed_pages}});
    if (ram.boot.has_value())
        for (std::size_t part = 0; part < kBootParts; ++part)
            if (ram.boot->sizes[part] != 0)
                json["boots_with"][std::string{to_string(BootPart{static_cast<std::uint8_t>(part)})}] = {
                    {"size", ram.boot->sizes[part]}, {"crc32c", fmt::format("{:08x}", ram.boot->sums[part])}};
    return json;
}

} // namespace

Json value_json(const View& view, const Field& field) {
    if (field.array) {
        Json list = Json::array();
        for (std::size_t i = 0; i < field.size / field.width; ++i)
            list.push_back(number_json(view, field, i));
        return list;
    }
    if (field.numeric())
        return number_json(view, field, 0);
    auto bytes = view.bytes(field);
    while (!bytes.empty() && bytes.back() == std::byte{0})
        bytes = bytes.first(bytes.size() - 1);
    std::string text;
    for (const std::byte byte : bytes)
        append(text, "{:02x}", std::to_integer<unsigned>(byte));
    return text;
}

std::string render_json(const View& view, const Listing& listing) {
    Json json;
    json["file"] = listing.file;
    json["size"] = view.size;
    json["stream_version"] = view.version;
    json["machine"] = view.machine;
    if (!view.configuration.empty())
        json["configuration"] = view.configuration;
    for (const Command& command : view.commands)
        json["commands"].push_back(
            {{"number", command.number}, {"offset", command.offset}, {"payload", command.payload}});
    if (view.ram.has_value())
        json["ram"] = ram_json(*view.ram);
    json["sections"] = Json::array();
    for (const Section& section : view.sections)
        if (wire::section_label(section.name, section.instance).find(listing.only) != std::string::npos)
            json["sections"].push_back(section_json(view, section));
    json["description"] = {{"offset", view.description_offset}, {"size", view.description_size}};
    if (view.sums.has_value())
        json["check_sums"] = {{"count", view.sums->count},
                              {"bytes_each", view.sums->bytes_each},
                              {"damaged", view.sums->damaged}};
    json["order"] = view.order;
    for (const Note& note : view.processor)
        json["processor"][note.name] = note.value;
    json["problems"] = Json::array();
    for (const Problem& problem : view.problems)
        json["problems"].push_back({{"offset", problem.offset}, {"text", problem.text}});
    return json_text(json, {.indent = 1, .ascii = true}) + "\n";
}

} // namespace godwit::migration::inspect
