// SPDX-License-Identifier: Apache-2.0
//
// Writes state structs in wire form and describes them at the same time. A section's body is one
// StateWriter's output.
#pragma once

#include "migration/state/description.h"
#include "migration/state/order_trace.h"
#include "migration/state/schema.h"
#include "vmm/base/bytes.h"

#include <fmt/format.h>

namespace godwit {

inline constexpr std::uint8_t kSubsectionMark = 0x05;

template <std::integral T>
constexpr std::string_view wire_type() {
    if constexpr (std::is_same_v<T, bool>)
        return "bool";
    else if constexpr (std::is_signed_v<T>)
        return sizeof(T) == 1 ? "int8" : sizeof(T) == 2 ? "int16" : sizeof(T) == 4 ? "int32" : "int64";
    else
        return sizeof(T) == 1 ? "uint8" : sizeof(T) == 2 ? "uint16" : sizeof(T) == 4 ? "uint32" : "uint64";
}

class StateWriter {
  public:
    // `trace` may be null; it must outlive the writer.
    StateWriter(std::string_view record_name, std::uint32_t version, OrderTrace* trace = nullptr)
        : trace_(trace) {
        root_.name = record_name;
        root_.version = version;
    }

    std::span<const std::byte> bytes() const { return out_.bytes(); }
    const RecordDescription& description() const { return root_; }
    // Records a step of the documented order.
    void step(std::string_view name) {
        if (trace_ != nullptr)
            trace_->step(name);
    }

    // All fields of a struct, then its subsections, at the current nesting.
    template <HasSchema S>
    void fields(const S& state) {
        std::apply([&](const auto&... field) { (write_field(state, field), ...); }, Schema<S>::fields);
        std::apply([&](const auto&... sub) { (write_subsection(state.*(sub.at)), ...); },
                   subsections_of<S>());
    }

    // The same as a named nested struct.
    template <HasSchema S>
    void structure(std::string_view name, const S& state, std::optional<std::size_t> index = std::nullopt) {
        const Nesting nesting = begin_struct(name, Schema<S>::name, Schema<S>::version, index);
        fields(state);
        end(nesting);
    }

    template <std::integral T>
    void value(std::string_view name, T number) {
        put(number);
        current().fields.push_back({std::string{name}, std::string{wire_type<T>()}, sizeof(T), {}, {}, {}});
    }

    void buffer(std::string_view name, std::span<const std::byte> bytes) {
        out_.append(bytes);
        current().fields.push_back({std::string{name}, "buffer", bytes.size(), {}, {}, {}});
    }

    // For records that code composes from several parts (the virtio core): what is written until end()
    // belongs to a nested struct, or to a subsection whose header is written here.
    struct Nesting {
        std::size_t start;
        bool subsection;
    };
    Nesting begin_struct(std::string_view name, std::string_view record, std::uint32_t version,
                         std::optional<std::size_t> index = std::nullopt) {
        FieldDescription field{std::string{name}, "struct", 0, {}, index, {}};
        field.structure.push_back({std::string{record}, version, {}, {}});
        current().fields.push_back(std::move(field));
        path_.push_back({current().fields.size() - 1, false});
        return {out_.size(), false};
    }
    Nesting begin_subsection(std::string_view name, std::uint32_t version) {
        out_.be(kSubsectionMark);
        out_.be(static_cast<std::uint8_t>(name.size()));
        out_.append(name);
        out_.be(version);
        current().subsections.push_back({std::string{name}, version, {}, {}});
        path_.push_back({current().subsections.size() - 1, true});
        return {out_.size(), true};
    }
    void end(Nesting nesting) {
        const Step last = path_.back();
        path_.pop_back();
        if (!nesting.subsection)
            current().fields[last.index].size = out_.size() - nesting.start;
    }

  private:
    struct Step {
        std::size_t index;
        bool subsection;
    };

    // The path is walked anew each time: descriptions move when their vectors grow.
    RecordDescription& current() {
        RecordDescription* record = &root_;
        for (const Step step : path_)
            record =
                step.subsection ? &record->subsections[step.index] : &record->fields[step.index].structure[0];
        return *record;
    }

    template <std::integral T>
    void put(T number) {
        if constexpr (std::is_same_v<T, bool>)
            out_.be(static_cast<std::uint8_t>(number));
        else
            out_.be(static_cast<std::make_unsigned_t<T>>(number));
    }

    template <class S, class M>
    void write_field(const S& state, const Field<S, M>& field) {
        if (field.present == nullptr || field.present(state))
            write_member(field.name, state.*(field.at));
    }
    template <class S, class M>
    void write_field(const S& state, const EqualField<S, M>& field) {
        write_member(field.name, state.*(field.at));
    }
    template <class S, class M>
    void write_field(const S&, const Transient<S, M>&) {}
    template <class S>
    void write_field(const S&, const Unused& unused) {
        out_.zeros(unused.bytes);
        current().fields.push_back({std::string{unused.name}, "unused_buffer", unused.bytes, {}, {}, {}});
    }

    template <class M>
    void write_member(std::string_view name, const M& member) {
        if constexpr (std::integral<M>)
            value(name, member);
        else if constexpr (is_byte_buffer<M>)
            buffer(name, member);
        else if constexpr (is_bounded_bytes<M>)
            buffer(name, member.bytes);
        else if constexpr (is_std_array<M>)
            write_array(name, member);
        else
            structure(name, member);
    }

    template <class T, std::size_t N>
    void write_array(std::string_view name, const std::array<T, N>& elements) {
        if constexpr (std::integral<T>) {
            for (const T element : elements)
                put(element);
            current().fields.push_back(
                {std::string{name}, std::string{wire_type<T>()}, sizeof(T), N, {}, {}});
        } else if constexpr (is_std_array<T>) {
            for (std::size_t i = 0; i < N; ++i)
                write_array(fmt::format("{}[{}]", name, i), elements[i]);
        } else {
            for (std::size_t i = 0; i < N; ++i)
                structure(name, elements[i], i);
        }
    }

    template <class Sub>
    void write_subsection(const std::optional<Sub>& sub) {
        if (!sub.has_value())
            return;
        const Nesting nesting = begin_subsection(Schema<Sub>::name, Schema<Sub>::version);
        fields(*sub);
        end(nesting);
    }

    ByteWriter out_;
    RecordDescription root_;
    std::vector<Step> path_;
    OrderTrace* trace_;
};

} // namespace godwit
