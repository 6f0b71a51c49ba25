// SPDX-License-Identifier: Apache-2.0
//
// Writes state structs in wire form and describes them at the same time. A section's body is one
// StateWriter's output.
#pragma once

#include "migration/state/description.h"
#include "migration/state/order_trace.h"
#include "migration/state/schema.h"
#include "vmm/base/bytes.h"

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
    StateWriter(std::string_view record_name, std::uint32_t version, OrderTrace* trace = nullptr);

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
        describe(name, wire_type<T>(), sizeof(T));
    }

    void buffer(std::string_view name, std::span<const std::byte> bytes);

    // For records that code composes from several parts (the virtio core): what is written until end()
    // belongs to a nested struct, or to a subsection whose header is written here.
    struct Nesting {
        std::size_t start;
        bool subsection;
    };
    Nesting begin_struct(std::string_view name, std::string_view record, std::uint32_t version,
                         std::optional<std::size_t> index = std::nullopt);
    Nesting begin_subsection(std::string_view name, std::uint32_t version);
    void end(Nesting nesting);

  private:
    struct Step {
        std::size_t index;
        bool subsection;
    };

    RecordDescription& current();
    void describe(std::string_view name, std::string_view type, std::size_t size,
                  std::optional<std::size_t> array_length = std::nullopt);
    void unused(const Unused& field);
    static std::string element_name(std::string_view name, std::size_t index);

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
    void write_field(const S&, const Unused& field) {
        unused(field);
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
            describe(name, wire_type<T>(), sizeof(T), N);
        } else if constexpr (is_std_array<T>) {
            for (std::size_t i = 0; i < N; ++i)
                write_array(element_name(name, i), elements[i]);
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
