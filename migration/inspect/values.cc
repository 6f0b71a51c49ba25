// SPDX-License-Identifier: Apache-2.0
#include "migration/inspect/values.h"

#include "vmm/base/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace godwit::migration::inspect {

namespace {

constexpr std::size_t kLineBytes = 16;
constexpr std::size_t kShortBuffer = 32;
constexpr std::size_t kLineRuns = 8; // of an array

bool all_are(std::span<const std::byte> bytes, std::byte value) {
    return std::ranges::all_of(bytes, [value](std::byte byte) { return byte == value; });
}
bool all_zero(std::span<const std::byte> bytes) {
    return all_are(bytes, std::byte{0});
}
bool all_same(std::span<const std::byte> bytes) {
    return !bytes.empty() && all_are(bytes, bytes[0]);
}

std::string number_text(const View& view, const Field& field, std::size_t element) {
    const std::uint64_t value = number_at(view, field, element);
    if (field.kind == Field::Kind::Bool)
        return value == 0   ? "false"
               : value == 1 ? "true"
                            : fmt::format("{:#x}, which is no truth value", value);
    if (field.kind == Field::Kind::Signed)
        return fmt::format("{}", static_cast<std::int64_t>(value));
    if (value < 10)
        return fmt::format("{}", value);
    if (field.array || value > UINT32_MAX)
        return fmt::format("{:#x}", value);
    return fmt::format("{:#x} ({})", value, value);
}

std::vector<std::string> array_runs(const View& view, const Field& field) {
    const std::size_t count = field.size / field.width;
    std::vector<std::string> runs;
    for (std::size_t i = 0; i < count;) {
        std::size_t same = 1;
        while (i + same < count && number_at(view, field, i + same) == number_at(view, field, i))
            ++same;
        runs.push_back(number_text(view, field, i));
        if (same > 1)
            runs.back() += fmt::format(" x {}", same);
        i += same;
    }
    return runs;
}

std::string joined(std::span<const std::string> parts) {
    std::string text;
    for (const std::string& part : parts)
        text += (text.empty() ? "" : ", ") + part;
    return text.empty() ? "none" : text;
}

bool is_address(const Field& field) {
    return field.name == "mac" && field.size == 6;
}

// A printable text, filled up with zeros.
std::string_view text_in(std::span<const std::byte> bytes) {
    const std::string_view all{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    const std::string_view text = all.substr(0, all.find('\0'));
    const bool printable = std::ranges::all_of(text, [](char c) { return c >= 0x20 && c <= 0x7e; });
    return text.size() >= 3 && printable && all_zero(bytes.subspan(text.size())) ? text : std::string_view{};
}

std::string bytes_text(std::span<const std::byte> bytes, bool address) {
    if (bytes.empty())
        return "none";
    if (address)
        return hex_text(bytes, ":");
    if (bytes.size() > 1 && all_zero(bytes))
        return fmt::format("{} bytes, all zero", bytes.size());
    if (bytes.size() > kShortBuffer && all_same(bytes))
        return fmt::format("{} bytes, all {:#04x}", bytes.size(), std::to_integer<unsigned>(bytes[0]));
    if (const std::string_view text = text_in(bytes); !text.empty())
        return fmt::format("\"{}\"", text);
    if (bytes.size() <= kShortBuffer)
        return hex_text(bytes, " ");
    const auto zeros = std::ranges::count(bytes, std::byte{0});
    return fmt::format("{} bytes, {} of them zero", bytes.size(), zeros);
}

// Lines of 16 bytes with their offset; lines that are all zero are counted.
std::vector<std::string> dump(std::span<const std::byte> bytes) {
    std::vector<std::string> lines;
    std::size_t left_out = 0;
    const auto say_left_out = [&lines, &left_out] {
        if (left_out != 0)
            lines.push_back(fmt::format("       {} bytes, all zero", std::exchange(left_out, 0)));
    };
    for (std::size_t at = 0; at < bytes.size(); at += kLineBytes) {
        const auto line = bytes.subspan(at, std::min(kLineBytes, bytes.size() - at));
        if (all_zero(line)) {
            left_out += line.size();
            continue;
        }
        say_left_out();
        lines.push_back(fmt::format("{:#06x} {}", at, hex_text(line, " ")));
    }
    say_left_out();
    return lines;
}

class Leaves {
  public:
    Leaves(const View& view, bool fold, const LeafVisitor& visit) : view_(view), fold_(fold), visit_(visit) {}

    void fields(const std::vector<Field>& fields, const std::string& prefix) {
        for (std::size_t i = 0; i < fields.size();) {
            const std::size_t same = fold_ ? equal_elements(fields, i) : 1;
            one(fields[i], same, prefix);
            i += same;
        }
    }

  private:
    void one(const Field& field, std::size_t same, const std::string& prefix) {
        // The name of a subsection says where it belongs, unless it belongs to one element of an array.
        const bool restart = field.kind == Field::Kind::Subsection && prefix.find('[') == std::string::npos;
        std::string path = restart ? field.name : prefix + field.name;
        if (field.index.has_value())
            path += same > 1 ? fmt::format("[{}..{}]", *field.index, *field.index + same - 1)
                             : fmt::format("[{}]", *field.index);
        if (field.kind == Field::Kind::Struct || field.kind == Field::Kind::Subsection)
            fields(field.children, path + ".");
        else
            visit_(path, field);
    }

    std::size_t equal_elements(const std::vector<Field>& fields, std::size_t first) const {
        if (!fields[first].index.has_value())
            return 1;
        std::size_t count = 1;
        while (first + count < fields.size()) {
            const Field& next = fields[first + count];
            if (next.index != *fields[first].index + count || next.name != fields[first].name ||
                next.children.size() != fields[first].children.size() ||
                !std::ranges::equal(view_.bytes(next), view_.bytes(fields[first])))
                break;
            ++count;
        }
        return count;
    }

    const View& view_;
    bool fold_;
    const LeafVisitor& visit_;
};

} // namespace

std::string hex_text(std::span<const std::byte> bytes, std::string_view separator) {
    std::string text;
    for (const std::byte byte : bytes)
        append(text, "{}{:02x}", text.empty() ? std::string_view{} : separator,
               std::to_integer<unsigned>(byte));
    return text;
}

std::string size_text(std::uint64_t bytes) {
    constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024)
        return fmt::format("{} B", bytes);
    double value = static_cast<double>(bytes) / 1024;
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < std::size(kUnits)) {
        value /= 1024;
        ++unit;
    }
    const bool whole = value == static_cast<double>(static_cast<std::uint64_t>(value));
    return fmt::format("{:.{}f} {}", value, whole ? 0 : 1, kUnits[unit]);
}

void each_leaf(const View& view, const std::vector<Field>& fields, bool fold, const LeafVisitor& visit) {
    Leaves{view, fold, visit}.fields(fields, "");
}

std::string value_text(const View& view, const Field& field) {
    if (!field.numeric() || is_address(field))
        return bytes_text(view.bytes(field), is_address(field));
    return field.array ? joined(array_runs(view, field)) : number_text(view, field, 0);
}

std::vector<std::string> value_lines(const View& view, const Field& field) {
    if (field.array && !is_address(field)) {
        const auto runs = array_runs(view, field);
        std::vector<std::string> lines;
        for (std::size_t i = 0; i < runs.size(); i += kLineRuns)
            lines.push_back(joined(std::span{runs}.subspan(i, std::min(kLineRuns, runs.size() - i))));
        return lines.empty() ? std::vector<std::string>{"none"} : lines;
    }
    std::vector<std::string> lines{value_text(view, field)};
    const auto bytes = view.bytes(field);
    if (!field.numeric() && bytes.size() > kShortBuffer && !all_same(bytes) && text_in(bytes).empty())
        std::ranges::move(dump(bytes), std::back_inserter(lines));
    return lines;
}
} // namespace godwit::migration::inspect
