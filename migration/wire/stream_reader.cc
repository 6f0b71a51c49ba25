// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/stream_reader.h"

#include "migration/printable.h"
#include "migration/wire/stream_writer.h" // for section_label

#include <algorithm>
#include <utility>

namespace godwit::migration::wire {

StreamReader::StreamReader(Input& in, std::span<StateSection* const> sections, RamTarget* ram,
                           OrderTrace* trace, AfterRefusal after_refusal)
    : in_(in), trace_(trace), after_refusal_(after_refusal) {
    for (StateSection* const section : sections)
        slots_.push_back({section, section->id()});
    slots_.push_back({&global_state_, global_state_.id()});
    if (ram != nullptr) {
        ram_.emplace(*ram);
        ram_size_ = ram->size();
        in_.sum_into(&sums_);
    }
}

Result<RunState> StreamReader::load() {
    auto outcome = items();
    if (outcome.ok())
        return outcome;
    for (const Slot& slot : slots_)
        slot.section->discard_load();
    if (!failed_at_.has_value())
        failed_at_ = position();
    return ram_.has_value() && after_refusal_ == AfterRefusal::ReadOn && !damage_told_
               ? explained(std::move(outcome).error())
               : std::move(outcome).error();
}

Result<RunState> StreamReader::items() {
    if (const auto magic = TRY(in_.be<std::uint32_t>()); magic != kMagic)
        return corrupt("{:#010x} is not the magic number of a state stream", magic);
    if (const auto version = TRY(in_.be<std::uint32_t>()); version != kVersion)
        return error(ErrorCode::Incompatible, "stream version {}, {} is known here", version, kVersion);
    TRY_IN(configuration(), "configuration");
    for (;;) {
        const auto item = static_cast<Item>(TRY(in_.be<std::uint8_t>()));
        switch (item) {
        case Item::SectionFull:
            TRY(full_section());
            break;
        case Item::SectionStart:
            TRY(start_ram());
            break;
        case Item::SectionPart:
        case Item::SectionEnd:
            TRY(continue_ram(item));
            break;
        case Item::Eof:
            TRY(check_complete()); // an end that is a flipped bit is found by the sums of what follows it
            in_.sum_into(nullptr);
            TRY(description());
            TRY(global_state_.commit_load());
            if (ram_.has_value())
                boot_ = TRY(ram_->take_boot());
            return global_state_.state();
        case Item::Command:
            return error(ErrorCode::Incompatible,
                         "the stream has a command at byte {}; commands are not supported", in_.offset() - 1);
        default:
            return corrupt("{:#04x} at byte {} is not an item of a stream", static_cast<unsigned>(item),
                           in_.offset() - 1);
        }
    }
}

Status StreamReader::configuration() {
    if (const auto item = TRY(in_.be<std::uint8_t>()); item != static_cast<std::uint8_t>(Item::Configuration))
        return corrupt("missing: {:#04x} is in its place", item);
    const auto length = TRY(in_.be<std::uint32_t>());
    if (length > kMaxNameLength)
        return corrupt("machine name of {} bytes, at most {} can be", length, kMaxNameLength);
    std::string machine(length, '\0');
    TRY(in_.read(std::as_writable_bytes(std::span{machine})));
    if (machine != kMachineName)
        return error(ErrorCode::Incompatible, "machine '{}' in the stream, '{}' here", printable(machine),
                     kMachineName);
    while (TRY(in_.peek()) == std::byte{kSubsectionMark})
        TRY(configuration_subsection());
    return {};
}

// A QEMU sends these when its capabilities ask for them (migration/savevm.c, vmstate_configuration).
Status StreamReader::configuration_subsection() {
    TRY(in_.skip(1));
    const std::string name = TRY(in_.counted_name());
    if (const auto version = TRY(in_.be<std::uint32_t>()); version != 1)
        return error(ErrorCode::Incompatible, "'{}' has version {}, 1 is known here", printable(name),
                     version);
    if (name == "configuration/target-page-bits") {
        if (const auto bits = TRY(in_.be<std::uint32_t>()); bits != kPageShift)
            return error(ErrorCode::Incompatible, "pages of 2^{} bytes in the stream, 2^{} here", bits,
                         kPageShift);
        return {};
    }
    if (name == "configuration/uuid") // this machine has none to compare with
        return in_.skip(16);
    if (name == "configuration/capabilities") {
        const auto count = TRY(in_.be<std::uint32_t>());
        if (count > kMaxCapabilities)
            return corrupt("{} capabilities, at most {} can be", count, kMaxCapabilities);
        if (count != 0)
            return error(ErrorCode::Incompatible, "the stream needs the capability '{}'",
                         printable(TRY(in_.counted_name())));
        return {};
    }
    return error(ErrorCode::Incompatible, "unknown subsection '{}'", printable(name));
}

Result<StreamReader::Header> StreamReader::section_header() {
    Header header;
    header.id = TRY(in_.be<std::uint32_t>());
    header.name = TRY(in_.counted_name());
    header.instance = TRY(in_.be<std::uint32_t>());
    header.version = TRY(in_.be<std::uint32_t>());
    return header;
}

Status StreamReader::start_ram() {
    const Header header = TRY(section_header());
    if (header.name != kRamSection || header.instance != 0)
        return error(ErrorCode::Incompatible, "section '{}' comes in parts; only 'ram' may",
                     printable(section_label(header.name, header.instance)));
    if (!ram_.has_value())
        return corrupt("the stream has a RAM section where only device state may be");
    if (ram_phase_ != RamPhase::None)
        return corrupt("the RAM section starts twice");
    if (header.version != kRamVersion)
        return error(ErrorCode::Incompatible, "RAM section version {}, {} is known here", header.version,
                     kRamVersion);
    ram_id_ = header.id;
    ram_phase_ = RamPhase::Started;
    TRY_IN(ram_->start(in_), "ram");
    return footer(ram_id_, "ram");
}

Status StreamReader::continue_ram(Item item) {
    const auto id = TRY(in_.be<std::uint32_t>());
    if (ram_phase_ != RamPhase::Started || id != ram_id_)
        return corrupt("part of section id {}, which is not open", id);
    TRY_IN(ram_->pages(in_), "ram");
    ram_end_ = in_.offset();
    if (item == Item::SectionEnd)
        ram_phase_ = RamPhase::Complete;
    return footer(ram_id_, "ram");
}

Status StreamReader::full_section() {
    const Header header = TRY(section_header());
    const std::string label = printable(section_label(header.name, header.instance));
    const std::uint64_t body_at = in_.offset();
    const auto slot = std::ranges::find_if(slots_, [&](const Slot& candidate) {
        return candidate.id.name == header.name && candidate.id.instance == header.instance;
    });
    if (slot == slots_.end())
        return error(ErrorCode::Incompatible, "section '{}' is in the stream, but this machine has none",
                     label);
    if (slot->loaded)
        return corrupt("section '{}' is in the stream twice", label);
    if (header.version > slot->id.version || header.version < slot->id.minimum_version)
        return error(ErrorCode::Incompatible, "section '{}' has version {}, {} to {} are known here", label,
                     header.version, slot->id.minimum_version, slot->id.version);
    if (trace_ != nullptr) {
        trace_->enter(label);
        trace_->step("load");
    }
    slot->place = {body_at, body_at + 1};
    // Bodies have no length: the section's own reader says where it ends.
    ByteReader body{TRY(in_.rest(kMaxStateBytes))};
    StateReader reader{body, slot->id.record, trace_};
    const Status status = slot->section->load(reader, header.version);
    body_read_ = body.offset();
    if (!status.ok())
        return Error{status.error()}.in(fmt::format("section '{}'", label));
    in_.advance(std::exchange(body_read_, 0));
    slot->loaded = true;
    slot->place = {body_at, in_.offset()};
    return footer(header.id, label);
}

Status StreamReader::footer(std::uint32_t id, const std::string& label) {
    const auto mark = TRY(in_.be<std::uint8_t>());
    if (mark != static_cast<std::uint8_t>(Item::SectionFooter))
        return corrupt("section '{}' does not end where its fields end: {:#04x} at byte {}", label, mark,
                       in_.offset() - 1);
    if (const auto footer_id = TRY(in_.be<std::uint32_t>()); footer_id != id)
        return corrupt("section '{}' has id {}, its footer {}", label, id, footer_id);
    return {};
}

Status StreamReader::description() {
    if (TRY(in_.at_end()))
        return {};
    if (const auto item = TRY(in_.be<std::uint8_t>()); item != static_cast<std::uint8_t>(Item::Description))
        return corrupt("{:#04x} follows the end of the stream", item);
    const auto length = TRY(in_.be<std::uint32_t>());
    if (length > kMaxDescriptionBytes)
        return corrupt("description of {} bytes, at most {} can be", length, kMaxDescriptionBytes);
    std::string text(length, '\0');
    TRY(in_.read(std::as_writable_bytes(std::span{text})));
    if (ram_.has_value())
        TRY(check_sums(text));
    notes_ = notes_in(text);
    if (!TRY(in_.at_end()))
        return corrupt("bytes follow the description, at byte {}", in_.offset());
    return {};
}

Status StreamReader::check_complete() const {
    if (ram_.has_value() && ram_phase_ != RamPhase::Complete)
        return corrupt("the stream ends before all of RAM was there");
    for (const Slot& slot : slots_)
        if (!slot.loaded && slot.section->needed())
            return error(ErrorCode::Incompatible, "section '{}' is missing in the stream",
                         section_label(slot.id.name, slot.id.instance));
    return {};
}

} // namespace godwit::migration::wire
