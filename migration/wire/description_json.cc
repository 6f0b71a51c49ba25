// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/description_json.h"

#include "migration/wire/format.h"
#include "vmm/base/address.h"
#include "vmm/base/bytes.h"
#include "vmm/base/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <map>

namespace godwit::migration::wire {

namespace {

constexpr std::size_t kHeader = 1 + sizeof(std::uint32_t); // item, length

class Json {
  public:
    std::string take() { return std::move(out_); }
    void raw(std::string_view text) {
        separate();
        out_ += text;
    }

    void open(char bracket) {
        separate();
        out_ += bracket;
        fresh_ = true;
    }
    void close(char bracket) {
        out_ += bracket;
        fresh_ = false;
    }
    void key(std::string_view name) {
        separate();
        quoted(name);
        out_ += ": ";
        fresh_ = true;
    }
    void text(std::string_view value) {
        separate();
        quoted(value);
    }
    void number(std::uint64_t value) {
        separate();
        append(out_, "{}", value);
    }

  private:
    void separate() {
        if (!fresh_)
            out_ += ", ";
        fresh_ = false;
    }
    void quoted(std::string_view value) {
        out_ += '"';
        for (const char c : value) {
            if (c == '"' || c == '\\')
                out_ += '\\';
            if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
                append(out_, "\\u{:04x}", static_cast<unsigned>(c));
            else
                out_ += c;
        }
        out_ += '"';
    }

    std::string out_;
    bool fresh_ = true;
};

using Fields = std::vector<FieldDescription>;

// How many fields from `first` on are the elements 0, 1, 2... of one array and look alike.
std::size_t alike_elements(const Fields& fields, std::size_t first) {
    if (fields[first].index != 0 || fields[first].structure.empty() ||
        !fields[first].structure[0].subsections.empty())
        return 1;
    std::size_t count = 1;
    while (first + count < fields.size()) {
        const FieldDescription& next = fields[first + count];
        if (next.index != count || next.name != fields[first].name || next.size != fields[first].size ||
            next.structure != fields[first].structure)
            break;
        ++count;
    }
    // Part of an array cannot be folded: the indices of the rest would not fit.
    const std::size_t after = first + count;
    const bool whole =
        after == fields.size() || fields[after].name != fields[first].name || fields[after].index == 0;
    return whole ? count : 1;
}

void write_record(Json& json, const RecordDescription& record);

void write_field(Json& json, const FieldDescription& field, std::string_view name, std::size_t folded) {
    json.open('{');
    json.key("name");
    json.text(name);
    if (folded > 1 || field.array_length.has_value()) {
        json.key("array_len");
        json.number(folded > 1 ? folded : *field.array_length);
    } else if (field.index.has_value()) {
        json.key("index");
        json.number(*field.index);
    }
    json.key("type");
    json.text(field.type);
    if (!field.structure.empty()) {
        json.key("struct");
        json.open('{');
        json.key("vmsd_name");
        json.text(field.structure[0].name);
        write_record(json, field.structure[0]);
        json.close('}');
    }
    json.key("size");
    json.number(field.size);
    json.close('}');
}

// Everything of a record but its name, inside an object that the caller opened.
void write_record(Json& json, const RecordDescription& record) {
    json.key("version");
    json.number(record.version);
    json.key("fields");
    json.open('[');
    std::map<std::string, std::size_t, std::less<>> seen;
    std::map<std::string, std::string, std::less<>> array_names;
    for (std::size_t i = 0; i < record.fields.size();) {
        const FieldDescription& field = record.fields[i];
        const std::size_t folded = alike_elements(record.fields, i);
        std::string name = field.name;
        if (field.index.value_or(0) == 0) {
            if (const std::size_t repeats = seen[field.name]++; repeats != 0)
                name = fmt::format("{}[{}]", field.name, repeats);
            array_names[field.name] = name;
        } else {
            name = array_names[field.name];
        }
        write_field(json, field, name, folded);
        i += folded;
    }
    json.close(']');
    if (record.subsections.empty())
        return;
    json.key("subsections");
    json.open('[');
    for (const RecordDescription& subsection : record.subsections) {
        json.open('{');
        json.key("vmsd_name");
        json.text(subsection.name);
        write_record(json, subsection);
        json.close('}');
    }
    json.close(']');
}

void write_notes(Json& json, const DescriptionNotes& notes) {
    json.key(kNotesKey);
    json.open('{');
    json.key("order");
    json.open('[');
    for (const std::string& step : notes.order)
        json.text(step);
    json.close(']');
    for (const auto& [key, text] :
         {std::pair{kCpuKey, &notes.guest.cpu}, std::pair{kGuestKey, &notes.guest.guest}})
        if (!text->empty()) {
            json.key(key);
            json.raw(*text);
        }
    if (notes.sums.has_value()) {
        json.key("crc32c");
        json.raw(notes.sums->json());
    }
}

// The object that follows the key; empty when it does not end in the text.
std::string_view object_behind(std::string_view description, std::string_view key) {
    const std::string head = fmt::format("\"{}\": {{", key);
    const std::size_t at = description.find(head);
    if (at == std::string_view::npos)
        return {};
    const std::string_view text = description.substr(at + head.size() - 1);
    int depth = 0;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '"')
            quoted = !quoted;
        else if (quoted)
            i += text[i] == '\\' ? 1 : 0;
        else if (text[i] == '{')
            ++depth;
        else if (text[i] == '}' && --depth == 0)
            return text.substr(0, i + 1);
    }
    return {};
}

} // namespace

std::string describe(const std::vector<DescribedSection>& sections, const DescriptionNotes& notes) {
    Json json;
    json.open('{');
    json.key("page_size");
    json.number(kPageSize);
    json.key("devices");
    json.open('[');
    for (const DescribedSection& section : sections) {
        json.open('{');
        json.key("name");
        json.text(section.name);
        json.key("instance_id");
        json.number(section.instance);
        json.key("vmsd_name");
        json.text(section.record);
        write_record(json, section.description);
        json.close('}');
    }
    json.close(']');
    if (!notes.empty())
        write_notes(json, notes);
    if (notes.sums.has_value()) {
        std::string text = json.take() + ", ";
        seal_description(text);
        return text;
    }
    if (!notes.empty())
        json.close('}');
    json.close('}');
    return json.take();
}

GuestNotes notes_in(std::string_view description) {
    const std::size_t notes = description.rfind(fmt::format("\"{}\": {{", kNotesKey));
    if (notes == std::string_view::npos)
        return {};
    const std::string_view text = description.substr(notes);
    return {std::string{object_behind(text, kCpuKey)}, std::string{object_behind(text, kGuestKey)}};
}

std::optional<std::size_t> find_description(std::span<const std::byte> end) {
    // The text has no zero byte, and the length before it has at least one: it is below 2^24. The text
    // starts behind the last zero, or up to three bytes later when the length goes on.
    const auto last = std::find(end.rbegin(), end.rend(), std::byte{0}).base();
    const auto after = static_cast<std::size_t>(last - end.begin());
    for (std::size_t start = std::max(after, kHeader); start <= after + 3 && start <= end.size(); ++start)
        if (end[start - kHeader] == static_cast<std::byte>(Item::Description) &&
            load_be<std::uint32_t>(end.subspan(start - 4)) == end.size() - start)
            return start - kHeader;
    return {};
}

} // namespace godwit::migration::wire
