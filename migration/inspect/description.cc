// SPDX-License-Identifier: Apache-2.0
#include "migration/inspect/description.h"

#include "migration/printable.h"
#include "migration/wire/format.h"
#include "vmm/base/bytes.h"
#include "vmm/base/json.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace godwit::migration::inspect {

namespace {

using Parsed = nlohmann::json; // finds a key fast, however many a hostile text has

constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxValues = std::size_t{1} << 20;
constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxNotes = 4096;

// The parser keeps every value in memory and destroys them recursively: both are bounded here.
Status check_bounds(std::string_view text) {
    std::size_t depth = 0;
    std::size_t values = 0;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted) {
            if (c == '\\')
                ++i;
            else
                quoted = c != '"';
            continue;
        }
        quoted = c == '"';
        if (c == '{' || c == '[') {
            if (++depth > kMaxDepth)
                return corrupt("nested more than {} deep", kMaxDepth);
        } else if ((c == '}' || c == ']') && depth != 0) {
            --depth;
        }
        if ((c == ',' || c == '{' || c == '[') && ++values > kMaxValues)
            return corrupt("more than {} values", kMaxValues);
    }
    return {};
}

Result<std::string> text_of(const Parsed& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_string())
        return corrupt("'{}' is missing or no text", key);
    std::string text = found->get<std::string>();
    if (text.size() > kMaxName)
        return corrupt("'{}' has {} characters, at most {} can be", key, text.size(), kMaxName);
    return printable(text);
}

Result<std::uint64_t> number_of(const Parsed& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_number_unsigned())
        return corrupt("'{}' is missing or no number", key);
    return found->get<std::uint64_t>();
}

Result<std::uint32_t> word_of(const Parsed& object, const char* key) {
    const auto number = TRY(number_of(object, key));
    if (number > UINT32_MAX)
        return corrupt("'{}' is {}, 32 bits it has", key, number);
    return static_cast<std::uint32_t>(number);
}

const Parsed* list_of(const Parsed& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_array() ? &*found : nullptr;
}

Status parse_record(const Parsed& object, RecordDescription& record);

Result<FieldDescription> parse_field(const Parsed& object) {
    if (!object.is_object())
        return corrupt("a field is no object");
    FieldDescription field;
    field.name = TRY(text_of(object, "name"));
    field.type = TRY(text_of(object, "type"));
    field.size = TRY(number_of(object, "size"));
    if (object.contains("array_len"))
        field.array_length = TRY(number_of(object, "array_len"));
    if (object.contains("index"))
        field.index = TRY(number_of(object, "index"));
    const auto structure = object.find("struct");
    // A temporary object has its record in the field itself.
    const bool inside = structure == object.end() && object.contains("fields");
    if (structure != object.end() || inside) {
        const Parsed& from = inside ? object : *structure;
        if (!from.is_object())
            return corrupt("'{}': 'struct' is no object", field.name);
        TRY_IN(parse_record(from, field.structure.emplace_back()), field.name);
    }
    return field;
}

Status parse_record(const Parsed& object, RecordDescription& record) {
    if (object.contains("vmsd_name"))
        record.name = TRY(text_of(object, "vmsd_name"));
    if (object.contains("version"))
        record.version = TRY(word_of(object, "version"));
    if (const Parsed* const fields = list_of(object, "fields"))
        for (const Parsed& field : *fields)
            record.fields.push_back(TRY(parse_field(field)));
    if (const Parsed* const subsections = list_of(object, "subsections"))
        for (const Parsed& subsection : *subsections) {
            if (!subsection.is_object())
                return corrupt("a subsection is no object");
            TRY(parse_record(subsection, record.subsections.emplace_back()));
        }
    return {};
}

// What tells one element of a list from the others: a leaf with its subleaf, a register's number.
std::string element_name(const Parsed& element, std::size_t place) {
    std::string name;
    if (element.is_object())
        for (const char* const key : {"leaf", "subleaf", "index"})
            if (const auto found = element.find(key); found != element.end() && found->is_string())
                name += (name.empty() ? "" : ".") + found->get<std::string>();
    return name.empty() ? fmt::format("{}", place) : name;
}

// Each value by its path. Names of bits and registers say in words what the numbers beside them say.
void parse_values(const Parsed& json, const std::string& path, std::vector<Note>& notes) {
    const auto inside = [&path](const std::string& name) { return path.empty() ? name : path + "." + name; };
    if (json.is_object()) {
        for (const auto& [key, value] : json.items())
            if (key != "names" && key != "name" && key != "leaf" && key != "subleaf" && key != "index")
                parse_values(value, inside(key), notes);
    } else if (json.is_array()) {
        for (std::size_t i = 0; i < json.size(); ++i)
            parse_values(json[i], inside(element_name(json[i], i)), notes);
    } else if (notes.size() < kMaxNotes) {
        const std::string value = json.is_string() ? json.get<std::string>() : json_text(json);
        notes.push_back({printable(path.substr(0, kMaxName)), printable(value.substr(0, kMaxName))});
    }
}

void parse_notes(const Parsed& root, WriterNotes& notes) {
    const auto own = root.find(std::string{wire::kNotesKey});
    if (own == root.end() || !own->is_object())
        return;
    if (const Parsed* const order = list_of(*own, "order"))
        for (const Parsed& step : *order)
            if (step.is_string())
                notes.order.push_back(printable(step.get<std::string>()));
    if (const auto cpu = own->find(std::string{wire::kCpuKey}); cpu != own->end())
        parse_values(*cpu, "", notes.processor);
}

} // namespace

Result<Description> parse_description(std::string_view json) {
    if (json.size() > wire::kMaxDescriptionBytes)
        return corrupt("{} bytes, at most {} can be", json.size(), wire::kMaxDescriptionBytes);
    TRY(check_bounds(json));
    const Parsed root = parse_json(json);
    if (root.is_discarded() || !root.is_object())
        return corrupt("it is not JSON");
    const Parsed* const devices = list_of(root, "devices");
    if (devices == nullptr)
        return corrupt("it lists no devices");
    Description description;
    for (const Parsed& device : *devices) {
        if (!device.is_object())
            return corrupt("a device is no object");
        wire::DescribedSection section{};
        section.name = TRY(text_of(device, "name"));
        section.instance = TRY(word_of(device, "instance_id"));
        TRY_IN(parse_record(device, section.description), section.name);
        section.record = section.description.name.empty() ? section.name : section.description.name;
        section.version = section.description.version;
        description.sections.push_back(std::move(section));
    }
    parse_notes(root, description.notes);
    return description;
}

} // namespace godwit::migration::inspect
