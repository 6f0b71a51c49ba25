// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/stream_writer.h"

namespace godwit::migration::wire {

namespace {

void put_item(ByteWriter& out, Item item) {
    out.be(static_cast<std::uint8_t>(item));
}

} // namespace

std::string section_label(std::string_view name, std::uint32_t instance) {
    return instance == 0 ? std::string{name} : fmt::format("{}#{}", name, instance);
}

Status StreamWriter::begin(std::string_view machine) {
    ByteWriter out;
    out.be(kMagic);
    out.be(kVersion);
    put_item(out, Item::Configuration);
    out.be(static_cast<std::uint32_t>(machine.size()));
    out.append(machine);
    return sink_.write(out.bytes());
}

Status StreamWriter::section(StateSection& section) {
    if (!section.needed())
        return {};
    const SectionId id = section.id();
    const std::string label = section_label(id.name, id.instance);
    if (id.name.empty() || id.name.size() > kMaxNameLength)
        return error(ErrorCode::Internal, "section name '{}' has a length that the stream cannot carry",
                     id.name);
    if (trace_ != nullptr) {
        trace_->enter(label);
        trace_->step("save");
    }
    StateWriter body{id.record, id.version, trace_};
    TRY_IN(section.save(body), fmt::format("saving {}", label));

    if (++last_id_ == kRamSectionId)
        ++last_id_;
    ByteWriter head;
    put_item(head, Item::SectionFull);
    head.be(last_id_);
    head.be(static_cast<std::uint8_t>(id.name.size()));
    head.append(id.name);
    head.be(id.instance);
    head.be(id.version);
    TRY(sink_.write(head.bytes()));
    TRY(sink_.write(body.bytes()));
    ByteWriter footer;
    put_item(footer, Item::SectionFooter);
    footer.be(last_id_);
    TRY(sink_.write(footer.bytes()));
    described_.push_back({id.name, id.instance, id.record, id.version, body.description()});
    return {};
}

Status StreamWriter::end(Description description, SummingSink* sums) {
    ByteWriter mark;
    put_item(mark, Item::Eof);
    TRY(sink_.write(mark.bytes()));
    if (description == Description::None || (description == Description::Notes && notes_.empty()))
        return {};
    const bool whole = description == Description::Whole;
    DescriptionNotes notes;
    if (whole && trace_ != nullptr)
        notes.order = trace_->steps();
    notes.guest = notes_;
    if (sums != nullptr) {
        sums->sums().finish();
        notes.sums = SavedSums::of(sums->sums());
    }
    const std::string json = describe(whole ? described_ : std::vector<DescribedSection>{}, notes);
    ByteWriter out;
    put_item(out, Item::Description);
    out.be(static_cast<std::uint32_t>(json.size()));
    out.append(std::string_view{json});
    return (sums != nullptr ? sums->inner() : sink_).write(out.bytes());
}

} // namespace godwit::migration::wire
