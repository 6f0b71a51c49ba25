// SPDX-License-Identifier: Apache-2.0
#include "migration/inspect/inspector.h"

#include "migration/inspect/cursor.h"
#include "migration/inspect/description.h"
#include "migration/inspect/ram_scan.h"
#include "migration/inspect/walker.h"
#include "migration/printable.h"
#include "migration/wire/format.h"
#include "migration/wire/stream_writer.h" // for section_label

#include <algorithm>

namespace godwit::migration::inspect {

namespace {

using wire::Item;

constexpr std::size_t kMaxProblems = 100;
constexpr std::size_t kFooterSize = 1 + sizeof(std::uint32_t);

class Inspector {
  public:
    Inspector(wire::Input& in, const Options& options) : in_(in), options_(options) {}

    Result<View> run() {
        in_.sum_into(&sums_);
        if (const auto magic = TRY(in_.be<std::uint32_t>()); magic != wire::kMagic)
            return corrupt("{:#010x} is not the magic number of a state stream", magic);
        view_.version = TRY(in_.be<std::uint32_t>());
        if (view_.version != wire::kVersion)
            return error(ErrorCode::Incompatible, "stream version {}, {} is known here", view_.version,
                         wire::kVersion);
        const Status before = head();
        if (!before.ok())
            problem(in_.offset(), before.error().text);
        if (const Status behind = before.ok() ? tail() : found_tail(); !behind.ok())
            problem(tail_at(), behind.error().text);
        // What could not be read says more than that its bytes are damaged.
        for (Problem& one : damage_)
            problem(one.offset, std::move(one.text));
        view_.size = in_.offset() + view_.tail.size();
        return std::move(view_);
    }

  private:
    void problem(std::uint64_t offset, std::string text) {
        if (view_.problems.size() < kMaxProblems)
            view_.problems.push_back({offset, std::move(text)});
    }

    // ---- up to the first section of a device

    Status head() {
        if (TRY(in_.peek()) == static_cast<std::byte>(Item::Configuration))
            TRY_IN(configuration(), "configuration");
        for (;;) {
            switch (static_cast<Item>(TRY(in_.peek()))) {
            case Item::SectionStart:
                TRY(ram_start());
                break;
            case Item::SectionPart:
            case Item::SectionEnd:
                TRY(ram_part());
                break;
            case Item::Command:
                TRY(command());
                break;
            default:
                return {};
            }
        }
    }

    Status configuration() {
        TRY(in_.skip(1));
        const auto length = TRY(in_.be<std::uint32_t>());
        if (length > wire::kMaxNameLength)
            return corrupt("machine name of {} bytes, at most {} can be", length, wire::kMaxNameLength);
        std::string machine(length, '\0');
        TRY(in_.read(std::as_writable_bytes(std::span{machine})));
        view_.machine = printable(machine);
        while (TRY(in_.peek()) == static_cast<std::byte>(Item::Subsection))
            TRY(configuration_subsection());
        return {};
    }

    Status configuration_subsection() {
        TRY(in_.skip(1));
        const std::string name = TRY(in_.counted_name());
        TRY(in_.skip(sizeof(std::uint32_t)));
        std::string text = printable(name);
        if (name == "configuration/target-page-bits") {
            text += fmt::format(": {}", TRY(in_.be<std::uint32_t>()));
        } else if (name == "configuration/uuid") {
            TRY(in_.skip(16));
        } else if (name == "configuration/capabilities") {
            const auto count = TRY(in_.be<std::uint32_t>());
            if (count > wire::kMaxCapabilities)
                return corrupt("{} capabilities, at most {} can be", count, wire::kMaxCapabilities);
            for (std::uint32_t i = 0; i < count; ++i) {
                const std::string capability = TRY(in_.counted_name());
                ignore_shared_ = ignore_shared_ || capability == "x-ignore-shared";
                text += (i == 0 ? ": " : ", ") + printable(capability);
            }
        } else {
            return corrupt("unknown subsection '{}'", text);
        }
        view_.configuration.push_back(std::move(text));
        return {};
    }

    Status command() {
        Command command;
        command.offset = in_.offset();
        TRY(in_.skip(1));
        command.number = TRY(in_.be<std::uint16_t>());
        command.payload = TRY(in_.be<std::uint16_t>());
        TRY(in_.skip(command.payload));
        if (view_.commands.size() < kMaxProblems)
            view_.commands.push_back(command);
        return {};
    }

    Status ram_start() {
        const std::uint64_t start = in_.offset();
        TRY(in_.skip(1));
        ram_id_ = TRY(in_.be<std::uint32_t>());
        const std::string name = TRY(in_.counted_name());
        TRY(in_.skip(2 * sizeof(std::uint32_t)));
        if (name != wire::kRamSection || view_.ram.has_value())
            return error(ErrorCode::Incompatible, "section '{}' comes in parts and is not looked into",
                         printable(name));
        view_.ram.emplace().offset = start;
        scan_.emplace(*view_.ram, options_.pages, ignore_shared_);
        const Status status = scan_->start(in_);
        return ram_footer(status);
    }

    Status ram_part() {
        const auto item = static_cast<Item>(TRY(in_.be<std::uint8_t>()));
        if (const auto id = TRY(in_.be<std::uint32_t>()); !scan_.has_value() || id != ram_id_)
            return corrupt("part of section id {}, which is not open", id);
        const Status status = scan_->pages(in_);
        if (status.ok() && item == Item::SectionEnd)
            view_.ram->complete = true;
        return ram_footer(status);
    }

    Status ram_footer(const Status& body) {
        ++view_.ram->sections;
        view_.ram->size = in_.offset() - view_.ram->offset;
        if (!body.ok())
            return Error{body.error()}.in("ram");
        const auto mark = TRY(in_.be<std::uint8_t>());
        const auto id = TRY(in_.be<std::uint32_t>());
        view_.ram->size = in_.offset() - view_.ram->offset;
        if (mark != static_cast<std::uint8_t>(Item::SectionFooter) || id != ram_id_)
            return corrupt("ram: no footer where its pages end");
        return {};
    }

    // ---- from the first section of a device to the end, in memory

    std::uint64_t tail_at() const { return view_.tail_offset + at_; }
    std::span<const std::byte> rest() const { return std::span{view_.tail}.subspan(at_); }

    Status tail() {
        const auto all = TRY(in_.rest(wire::kMaxStateBytes));
        take_tail(all);
        return sections();
    }

    // Behind RAM that cannot be read: from the first section that the description tells of.
    Status found_tail() {
        const auto all = TRY(in_.drain(UINT64_MAX, wire::kMaxStateBytes));
        take_tail(all);
        if (description_.sections.empty())
            return {};
        const wire::DescribedSection& first = description_.sections[0];
        ByteWriter head;
        head.be(static_cast<std::uint8_t>(first.name.size()));
        head.append(std::string_view{first.name});
        head.be(first.instance);
        head.be(first.version);
        constexpr std::size_t kBefore = 1 + sizeof(std::uint32_t);
        const auto wanted = head.bytes();
        const auto found = std::search(view_.tail.begin(), view_.tail.end(), wanted.begin(), wanted.end());
        at_ = static_cast<std::size_t>(found - view_.tail.begin());
        if (found == view_.tail.end() || at_ < kBefore)
            return {};
        at_ -= kBefore;
        return sections();
    }

    void take_tail(std::span<const std::byte> all) {
        view_.tail_offset = in_.offset();
        view_.tail.assign(all.begin(), all.end());
        read_description();
    }

    Status sections() {
        while (at_ < view_.tail.size()) {
            switch (const auto item = static_cast<Item>(view_.tail[at_])) {
            case Item::SectionFull:
                TRY(section());
                break;
            case Item::Eof:
                return end();
            default:
                return corrupt("{:#04x} is not an item that can be here", static_cast<unsigned>(item));
            }
        }
        return corrupt("the stream ends without its end mark");
    }

    void read_description() {
        const auto start = wire::find_description(view_.tail);
        if (!start.has_value()) {
            problem(view_.tail_offset + view_.tail.size(),
                    "no description at the end: sections are listed, their fields are not known");
            return;
        }
        const std::size_t text = *start + kFooterSize;
        check_sums(*start,
                   {reinterpret_cast<const char*>(view_.tail.data()) + text, view_.tail.size() - text});
        view_.description_offset = view_.tail_offset + *start;
        view_.description_size = view_.tail.size() - *start;
        auto parsed = parse_description(
            {reinterpret_cast<const char*>(view_.tail.data()) + text, view_.tail.size() - text});
        if (!parsed.ok()) {
            problem(view_.description_offset, "description: " + parsed.error().text);
            return;
        }
        description_ = std::move(parsed).value();
        view_.order = std::move(description_.notes.order);
        view_.processor = std::move(description_.notes.processor);
    }

    void check_sums(std::size_t end, std::string_view description) {
        sums_.add(std::span{view_.tail}.first(end));
        sums_.finish();
        const auto saved = wire::sums_in(description);
        if (!saved.ok()) {
            damage_.push_back({view_.tail_offset + end, saved.error().text});
            return;
        }
        if (!saved->has_value())
            return;
        const auto damaged = wire::damaged_ranges(sums_, **saved);
        view_.sums = {(*saved)->sums.size(), (*saved)->blocks_per_sum * wire::kSumBlock, damaged.size()};
        for (const wire::ByteRange& range : damaged)
            damage_.push_back(
                {range.begin,
                 fmt::format("bytes {} to {} are damaged: their check sum is not the one that was saved",
                             range.begin, range.end - 1)});
        if ((*saved)->bytes != sums_.bytes())
            damage_.push_back(
                {sums_.bytes(), fmt::format("the stream has {} bytes up to its end mark, {} were written",
                                            sums_.bytes(), (*saved)->bytes)});
    }

    Status section() {
        ByteReader head{rest()};
        Section section;
        section.offset = tail_at();
        TRY(head.take(1));
        section.id = TRY(head.be<std::uint32_t>());
        const auto length = TRY(head.be<std::uint8_t>());
        const auto name = TRY(head.take(length));
        section.name = printable({reinterpret_cast<const char*>(name.data()), name.size()});
        section.record = section.name;
        section.instance = TRY(head.be<std::uint32_t>());
        section.version = TRY(head.be<std::uint32_t>());
        at_ += head.offset();
        section.body_offset = tail_at();
        decode(section);
        TRY(measure(section));
        view_.sections.push_back(std::move(section));
        return {};
    }

    // Fields along the description, when there is one for this section.
    void decode(Section& section) {
        const auto& known = description_.sections;
        const auto found = std::ranges::find_if(known, [&section](const wire::DescribedSection& one) {
            return one.name == section.name && one.instance == section.instance;
        });
        if (found == known.end()) {
            if (!known.empty())
                problem(section.offset, fmt::format("section '{}' is not described", label(section)));
            return;
        }
        section.record = found->record;
        Cursor in{rest(), tail_at(), budget_};
        const Status status = walk(in, found->description, section.name);
        if (!status.ok())
            problem(in.offset(), fmt::format("section '{}': {}", label(section), status.error().text));
        section.decoded = status.ok();
        section.body_size = in.offset() - section.body_offset;
        section.fields = in.finish();
    }

    // Where the body ends: behind its fields when the footer is there, else at the next footer that fits.
    Status measure(Section& section) {
        const std::size_t body = at_;
        if (!section.decoded || !is_footer(body + section.body_size, section.id, false)) {
            if (section.decoded)
                problem(section.body_offset + section.body_size,
                        fmt::format("section '{}' has no footer where its fields end", label(section)));
            if (section.decoded && can_follow(body + section.body_size + kFooterSize)) {
                step_over(section, body); // only the footer is damaged
                return {};
            }
            section.decoded = false;
            std::size_t end = body;
            while (end < view_.tail.size() && !is_footer(end, section.id, true))
                ++end;
            if (end == view_.tail.size()) {
                section.body_size = end - body;
                section.size = section.body_offset - section.offset + section.body_size;
                view_.sections.push_back(std::move(section));
                at_ = end;
                return corrupt("section '{}' has no footer", label(view_.sections.back()));
            }
            section.body_size = end - body;
            keep_inside(section.fields, section.body_offset + section.body_size);
        }
        step_over(section, body);
        return {};
    }

    void step_over(Section& section, std::size_t body) {
        at_ = body + section.body_size + kFooterSize;
        section.size = tail_at() - section.offset;
    }

    // Whether this is where a section or the end mark may be.
    bool can_follow(std::size_t at) const {
        return at < view_.tail.size() && (view_.tail[at] == static_cast<std::byte>(Item::SectionFull) ||
                                          view_.tail[at] == static_cast<std::byte>(Item::Eof));
    }

    // A footer and, when asked, something behind it that may follow one: an id may also be in the data.
    bool is_footer(std::size_t at, std::uint32_t id, bool with_follower) const {
        const std::span<const std::byte> all{view_.tail};
        if (at > all.size() || all.size() - at < kFooterSize ||
            all[at] != static_cast<std::byte>(Item::SectionFooter) ||
            load_be<std::uint32_t>(all.subspan(at + 1)) != id)
            return false;
        return !with_follower || at + kFooterSize == all.size() || can_follow(at + kFooterSize);
    }

    static void keep_inside(std::vector<Field>& fields, std::uint64_t end) {
        std::erase_if(fields, [end](const Field& field) { return field.offset + field.size > end; });
    }

    Status end() {
        ++at_;
        const std::uint64_t described =
            view_.description_size == 0 ? view_.tail_offset + view_.tail.size() : view_.description_offset;
        if (tail_at() != described)
            return corrupt("{} bytes between the end mark and the {}",
                           described - std::min(tail_at(), described),
                           view_.description_size == 0 ? "end of the file" : "description");
        if (view_.ram.has_value() && !view_.ram->complete)
            return corrupt("the stream ends before all of RAM was there");
        return {};
    }

    static std::string label(const Section& section) {
        return wire::section_label(section.name, section.instance);
    }

    wire::Input& in_;
    const Options& options_;
    View view_;
    std::optional<RamScan> scan_;
    std::uint32_t ram_id_ = 0;
    bool ignore_shared_ = false;
    std::size_t at_ = 0; // in the tail
    std::size_t budget_ = kMaxFields;
    Description description_;
    wire::StreamSums sums_;
    std::vector<Problem> damage_; // by the check sums
};

} // namespace

Result<View> inspect(wire::ByteSource& source, const Options& options) {
    wire::Input in{source};
    return Inspector{in, options}.run();
}

} // namespace godwit::migration::inspect
