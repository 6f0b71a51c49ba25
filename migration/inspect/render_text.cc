// SPDX-License-Identifier: Apache-2.0
#include "migration/inspect/render.h"
#include "migration/inspect/values.h"
#include "migration/wire/stream_writer.h" // for section_label
#include "vmm/base/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

namespace godwit::migration::inspect {

namespace {

constexpr std::size_t kMaxNameColumn = 44;

class Text {
  public:
    Text(const View& view, const Listing& listing) : view_(view), listing_(listing) {}

    std::string take() {
        summary();
        if (listing_.order) {
            order();
        } else {
            table();
            if (listing_.fields)
                for (const Section& section : view_.sections)
                    if (wanted(section))
                        fields(section);
            if (listing_.fields && kProcessor.find(listing_.only) != std::string_view::npos)
                processor();
        }
        problems();
        return std::move(out_);
    }

  private:
    template <class... Args>
    void line(fmt::format_string<Args...> format, Args&&... args) {
        append(out_, format, std::forward<Args>(args)...);
        // No blanks at the end of a line.
        while (!out_.empty() && out_.back() == ' ')
            out_.pop_back();
        out_ += '\n';
    }

    bool wanted(const Section& section) const {
        return label(section).find(listing_.only) != std::string::npos;
    }
    static std::string label(const Section& section) {
        return wire::section_label(section.name, section.instance);
    }

    void summary() {
        std::uint64_t devices = 0;
        for (const Section& section : view_.sections)
            devices += section.size;
        line("{}: state of a '{}' machine, {}", listing_.file, view_.machine, size_text(view_.size));
        for (const std::string& one : view_.configuration)
            line("  {}", one);
        for (const Command& command : view_.commands)
            line("  command {} with {} bytes, at byte {}", command.number, command.payload, command.offset);
        if (view_.ram.has_value())
            ram(*view_.ram);
        else
            line("  RAM          none");
        if (view_.ram.has_value() && view_.ram->boot.has_value())
            line("  boots with   {}", boot_text(*view_.ram->boot));
        line("  devices      {} in {} sections", size_text(devices), view_.sections.size());
        if (view_.description_size != 0)
            line("  description  {}, at byte {}", size_text(view_.description_size),
                 view_.description_offset);
        else
            line("  description  none");
        if (!view_.sums.has_value())
            line("  check sums   none");
        else if (view_.sums->damaged == 0)
            line("  check sums   {} of {} each, all match", view_.sums->count,
                 size_text(view_.sums->bytes_each));
        else
            line("  check sums   {} of {} each, {} places differ", view_.sums->count,
                 size_text(view_.sums->bytes_each), view_.sums->damaged);
        if (view_.problems.empty())
            line("  problems     none");
        else
            line("  problems     {}", view_.problems.size());
    }

    static std::string boot_text(const wire::BootHeader& boot) {
        std::string text;
        for (std::size_t part = 0; part < kBootParts; ++part)
            if (boot.sizes[part] != 0)
                text += fmt::format("{}{} of {}", text.empty() ? "" : ", ",
                                    to_string(BootPart{static_cast<std::uint8_t>(part)}),
                                    size_text(boot.sizes[part]));
        return text;
    }

    void ram(const Ram& ram) {
        for (const RamBlock& block : ram.blocks) {
            std::string text = fmt::format("{} in '{}': {} pages of data ({}), {} of zeros",
                                           size_text(block.size), block.name, block.data_pages,
                                           size_text(block.data_pages * 4096), block.zero_pages);
            if (block.packed_pages != 0)
                text += fmt::format(", {} packed", block.packed_pages);
            line("  RAM          {}", text);
        }
    }

    void table() {
        line("");
        line("{:>12}  {:>10}  {:>4}  {:<30} {:>7}  {}", "byte", "size", "id", "section", "version", "");
        if (view_.ram.has_value())
            line("{:>12}  {:>10}  {:>4}  {:<30} {:>7}  in {} parts", view_.ram->offset,
                 size_text(view_.ram->size), "", "ram", "", view_.ram->sections);
        for (const Section& section : view_.sections) {
            if (!wanted(section))
                continue;
            line("{:>12}  {:>10}  {:>4}  {:<30} {:>7}  {}", section.offset, size_text(section.size),
                 section.id, label(section), section.version,
                 section.decoded ? "" : "not all of it can be read");
        }
    }

    void fields(const Section& section) {
        struct Row {
            std::string path;
            const Field* field;
        };
        std::vector<Row> rows;
        std::size_t width = 0;
        std::size_t types = 0;
        each_leaf(view_, section.fields, true, [&](const std::string& path, const Field& field) {
            width = std::max(width, std::min(path.size(), kMaxNameColumn));
            types = std::max(types, type_text(field).size());
            rows.push_back({path, &field});
        });
        line("");
        line("{}  version {}, {} at byte {}", label(section), section.version, size_text(section.body_size),
             section.body_offset);
        for (const Row& row : rows) {
            const Field& field = *row.field;
            std::vector<std::string> values = value_lines(view_, field);
            if (listing_.explain && field.numeric() && !field.array)
                if (const std::string why = listing_.explain(section, row.path, number_at(view_, field));
                    !why.empty())
                    values[0] += "  " + why;
            for (std::size_t i = 0; i < values.size(); ++i)
                line("  {:<{}}  {:<{}}  {}", i == 0 ? row.path : "", width, i == 0 ? type_text(field) : "",
                     types, values[i]);
        }
        if (!section.decoded) {
            const std::uint64_t read =
                rows.empty() ? 0 : rows.back().field->offset + rows.back().field->size - section.body_offset;
            line("  the rest, {}, has no description that fits", size_text(section.body_size - read));
        }
    }

    void processor() {
        if (view_.processor.empty())
            return;
        line("");
        line("{}  what the guest was told of it, from the description", kProcessor);
        std::size_t width = 0;
        for (const Note& note : view_.processor)
            width = std::max(width, std::min(note.name.size(), kMaxNameColumn));
        for (const Note& note : view_.processor)
            line("  {:<{}}  {}", note.name, width, note.value);
    }

    static std::string type_text(const Field& field) {
        if (field.array)
            return fmt::format("{}[{}]", field.type, field.size / field.width);
        return field.numeric() ? field.type : fmt::format("{}[{}]", field.type, field.size);
    }

    void order() {
        line("");
        if (view_.order.empty())
            line("The writer did not record the order of its steps; sections come in this order:");
        for (const std::string& step : view_.order)
            line("  {}", step);
        if (view_.order.empty())
            for (const Section& section : view_.sections)
                line("  {}", label(section));
    }

    void problems() {
        if (view_.problems.empty())
            return;
        line("");
        for (const Problem& problem : view_.problems)
            line("byte {}: {}", problem.offset, problem.text);
    }

    const View& view_;
    const Listing& listing_;
    std::string out_;
};

} // namespace

std::string render_text(const View& view, const Listing& listing) {
    return Text{view, listing}.take();
}

} // namespace godwit::migration::inspect
