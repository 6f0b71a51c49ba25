// SPDX-License-Identifier: Apache-2.0
#include "migration/inspect/compare.h"

#include "migration/inspect/compare_pages.h"
#include "migration/inspect/values.h"
#include "migration/wire/stream_writer.h" // for section_label

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace godwit::migration::inspect {

namespace {

constexpr std::size_t kComparedWhole = 16; // compared as a whole
constexpr std::size_t kShownBytes = 16;
constexpr std::size_t kMaxBufferRanges = 16;

const RamBlock* block_of(const View& view, const std::string& name) {
    if (!view.ram.has_value())
        return nullptr;
    const auto found = std::ranges::find(view.ram->blocks, name, &RamBlock::name);
    return found == view.ram->blocks.end() ? nullptr : &*found;
}

class Compare {
  public:
    Compare(const View& first, const View& second) : first_(first), second_(second) {}

    Comparison run() {
        if (first_.machine != second_.machine)
            add("", "machine", first_.machine, second_.machine);
        ram();
        boots_with();
        for (const Section& section : first_.sections) {
            const Section* const other = find(second_, section);
            if (other == nullptr)
                add(label(section), "", size_text(section.body_size), "");
            else
                sections(section, *other);
        }
        for (const Section& section : second_.sections)
            if (find(first_, section) == nullptr)
                add(label(section), "", "", size_text(section.body_size));
        processors();
        return std::move(result_);
    }

  private:
    void add(std::string section, std::string field, std::string first, std::string second) {
        result_.differences.push_back(
            {std::move(section), std::move(field), std::move(first), std::move(second)});
    }
    static std::string label(const Section& section) {
        return wire::section_label(section.name, section.instance);
    }
    static const Section* find(const View& view, const Section& like) {
        const auto found = std::ranges::find_if(view.sections, [&like](const Section& one) {
            return one.name == like.name && one.instance == like.instance;
        });
        return found == view.sections.end() ? nullptr : &*found;
    }

    // A QEMU notes nothing: then there is nothing to compare.
    void processors() {
        if (first_.processor.empty() || second_.processor.empty())
            return;
        const auto by_name = [](const View& view) {
            std::map<std::string_view, std::string_view> values;
            for (const Note& note : view.processor)
                values.emplace(note.name, note.value);
            return values;
        };
        const auto ours = by_name(first_);
        const auto others = by_name(second_);
        const auto value_of = [](const auto& values, std::string_view name) {
            const auto found = values.find(name);
            return found == values.end() ? std::string{} : std::string{found->second};
        };
        auto all = ours;
        all.insert(others.begin(), others.end());
        for (const auto& [name, value] : all)
            if (value_of(ours, name) != value_of(others, name))
                add(std::string{kProcessor}, std::string{name}, value_of(ours, name), value_of(others, name));
        result_.fields += all.size();
    }

    // A QEMU's file tells nothing of it.
    void boots_with() {
        if (!first_.ram || !second_.ram || !first_.ram->boot || !second_.ram->boot)
            return;
        const wire::BootHeader& a = *first_.ram->boot;
        const wire::BootHeader& b = *second_.ram->boot;
        const auto text = [](const wire::BootHeader& boot, std::size_t part) {
            return boot.sizes[part] == 0
                       ? std::string{}
                       : fmt::format("{}, CRC-32C {:08x}", size_text(boot.sizes[part]), boot.sums[part]);
        };
        for (std::size_t part = 0; part < kBootParts; ++part)
            if (text(a, part) != text(b, part))
                add("boots with", std::string{to_string(BootPart{static_cast<std::uint8_t>(part)})},
                    text(a, part), text(b, part));
    }

    void ram() {
        std::vector<std::string> names;
        for (const View* const view : {&first_, &second_})
            if (view->ram.has_value())
                for (const RamBlock& block : view->ram->blocks)
                    if (std::ranges::find(names, block.name) == names.end())
                        names.push_back(block.name);
        for (const std::string& name : names) {
            const RamBlock* const a = block_of(first_, name);
            const RamBlock* const b = block_of(second_, name);
            if (a == nullptr || b == nullptr || a->size != b->size)
                add("ram", name, a == nullptr ? "" : size_text(a->size),
                    b == nullptr ? "" : size_text(b->size));
            if (a == nullptr || b == nullptr)
                continue;
            RamDifference difference = compare_pages(*first_.ram, *second_.ram, name);
            difference.block = name;
            difference.pages = std::max(a->size, b->size) / kPageBytes;
            if (difference.differing != 0)
                result_.ram.push_back(std::move(difference));
        }
    }

    // A field without its like by name may be the one at the same place: writers name some differently.
    struct Part {
        std::string path;
        Field field;
    };
    void sections(const Section& first, const Section& second) {
        const std::string name = label(first);
        if (first.version != second.version)
            add(name, "version", fmt::format("{}", first.version), fmt::format("{}", second.version));
        const std::vector<Part> ours = parts(first_, first);
        const std::vector<Part> others = parts(second_, second);
        std::map<std::string_view, std::size_t> by_path;
        std::map<std::pair<std::uint64_t, std::uint64_t>, std::size_t> by_place;
        for (std::size_t i = 0; i < others.size(); ++i) {
            by_path.emplace(others[i].path, i);
            by_place.emplace(place(second, others[i]), i);
        }
        std::vector<bool> paired(others.size());
        std::vector<std::optional<std::size_t>> partner(ours.size());
        for (std::size_t i = 0; i < ours.size(); ++i)
            if (const auto found = by_path.find(ours[i].path);
                found != by_path.end() && !paired[found->second])
                paired[*(partner[i] = found->second)] = true;
        for (std::size_t i = 0; i < ours.size(); ++i) {
            if (const auto found = by_place.find(place(first, ours[i]));
                !partner[i].has_value() && found != by_place.end() && !paired[found->second])
                paired[*(partner[i] = found->second)] = true;
            ++result_.fields;
            if (partner[i].has_value())
                pair(name, ours[i], others[*partner[i]].field);
            else
                add(name, ours[i].path, value_text(first_, ours[i].field), "");
        }
        for (std::size_t i = 0; i < others.size(); ++i)
            if (!paired[i])
                add(name, others[i].path, "", value_text(second_, others[i].field));
        if (!first.decoded || !second.decoded)
            undecoded(name, first, second);
    }

    static std::pair<std::uint64_t, std::uint64_t> place(const Section& section, const Part& part) {
        return {part.field.offset - section.body_offset, part.field.size};
    }

    static std::vector<Part> parts(const View& view, const Section& section) {
        std::vector<Part> parts;
        each_leaf(view, section.fields, false,
                  [&](const std::string& path, const Field& field) { spread(path, field, parts); });
        return parts;
    }

    // An array of numbers is compared number by number.
    static void spread(const std::string& path, const Field& field, std::vector<Part>& parts) {
        if (!field.array) {
            parts.push_back({path, field});
            return;
        }
        Field element = field;
        element.array = false;
        element.size = field.width;
        for (std::size_t i = 0; i < field.size / field.width; ++i) {
            element.offset = field.offset + i * field.width;
            parts.push_back({fmt::format("{}[{}]", path, i), element});
        }
    }

    void pair(const std::string& section, const Part& ours, const Field& other) {
        if (ours.field.numeric() && other.numeric()) {
            if (number_at(first_, ours.field) != number_at(second_, other))
                add(section, ours.path, value_text(first_, ours.field), value_text(second_, other));
            return;
        }
        const auto a = first_.bytes(ours.field);
        const auto b = second_.bytes(other);
        if (a.size() == b.size() && a.size() > kComparedWhole)
            buffers(section, ours.path, a, b);
        else if (!std::ranges::equal(a, b))
            add(section, ours.path, value_text(first_, ours.field), value_text(second_, other));
    }

    // The bytes that differ.
    void buffers(const std::string& section, const std::string& path, std::span<const std::byte> a,
                 std::span<const std::byte> b) {
        std::size_t ranges = 0;
        for (std::size_t at = 0; at < a.size(); ++at) {
            if (a[at] == b[at])
                continue;
            std::size_t end = at + 1;
            while (end < a.size() && a[end] != b[end] && end - at < kShownBytes)
                ++end;
            if (++ranges > kMaxBufferRanges) {
                add(section, path + "[...]", "more", "more");
                return;
            }
            add(section,
                end - at == 1 ? fmt::format("{}[{:#x}]", path, at)
                              : fmt::format("{}[{:#x}..{:#x}]", path, at, end - 1),
                hex_text(a.subspan(at, end - at)), hex_text(b.subspan(at, end - at)));
            at = end - 1;
        }
    }

    void undecoded(const std::string& name, const Section& a, const Section& b) {
        const auto bytes = [](const View& view, const Section& section) {
            return std::span{view.tail}.subspan(section.body_offset - view.tail_offset, section.body_size);
        };
        const bool told = std::ranges::any_of(result_.differences,
                                              [&name](const Difference& one) { return one.section == name; });
        if (!told && !std::ranges::equal(bytes(first_, a), bytes(second_, b)))
            add(name, "bytes that no description tells of", size_text(a.body_size), size_text(b.body_size));
    }

    const View& first_;
    const View& second_;
    Comparison result_;
};

} // namespace

Comparison compare(const View& first, const View& second) {
    return Compare{first, second}.run();
}

} // namespace godwit::migration::inspect
