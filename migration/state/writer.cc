// SPDX-License-Identifier: Apache-2.0
#include "migration/state/writer.h"

#include <fmt/core.h>

namespace godwit {

StateWriter::StateWriter(std::string_view record_name, std::uint32_t version, OrderTrace* trace)
    : trace_(trace) {
    root_.name = record_name;
    root_.version = version;
}

void StateWriter::buffer(std::string_view name, std::span<const std::byte> bytes) {
    out_.append(bytes);
    describe(name, "buffer", bytes.size());
}

StateWriter::Nesting StateWriter::begin_struct(std::string_view name, std::string_view record,
                                               std::uint32_t version, std::optional<std::size_t> index) {
    FieldDescription field{std::string{name}, "struct", 0, {}, index, {}};
    field.structure.push_back({std::string{record}, version, {}, {}});
    current().fields.push_back(std::move(field));
    path_.push_back({current().fields.size() - 1, false});
    return {out_.size(), false};
}

StateWriter::Nesting StateWriter::begin_subsection(std::string_view name, std::uint32_t version) {
    out_.be(kSubsectionMark);
    out_.be(static_cast<std::uint8_t>(name.size()));
    out_.append(name);
    out_.be(version);
    current().subsections.push_back({std::string{name}, version, {}, {}});
    path_.push_back({current().subsections.size() - 1, true});
    return {out_.size(), true};
}

void StateWriter::end(Nesting nesting) {
    const Step last = path_.back();
    path_.pop_back();
    if (!nesting.subsection)
        current().fields[last.index].size = out_.size() - nesting.start;
}

// The path is walked anew each time: descriptions move when their vectors grow.
RecordDescription& StateWriter::current() {
    RecordDescription* record = &root_;
    for (const Step step : path_)
        record =
            step.subsection ? &record->subsections[step.index] : &record->fields[step.index].structure[0];
    return *record;
}

void StateWriter::describe(std::string_view name, std::string_view type, std::size_t size,
                           std::optional<std::size_t> array_length) {
    current().fields.push_back({std::string{name}, std::string{type}, size, array_length, {}, {}});
}

void StateWriter::unused(const Unused& field) {
    out_.zeros(field.bytes);
    describe(field.name, "unused_buffer", field.bytes);
}

std::string StateWriter::element_name(std::string_view name, std::size_t index) {
    return fmt::format("{}[{}]", name, index);
}

} // namespace godwit
