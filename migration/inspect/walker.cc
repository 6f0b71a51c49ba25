// SPDX-License-Identifier: Apache-2.0
#include "migration/inspect/walker.h"

#include "migration/inspect/virtio_layout.h"
#include "migration/printable.h"

#include <fmt/core.h>

namespace godwit::migration::inspect {

namespace {

struct Number {
    unsigned width;
    bool is_signed;
};

// QEMU's numeric types: "uint16", "int32 equal", "int32 le", "timer", "CPU_Double_U".
std::optional<Number> number_type(std::string_view type, std::size_t size) {
    if (type == "timer")
        return size == 8 ? std::optional{Number{8, true}} : std::nullopt;
    if (type == "CPU_Double_U")
        return size == 8 ? std::optional{Number{8, false}} : std::nullopt;
    const bool is_signed = type.starts_with("int");
    if (!is_signed && !type.starts_with("uint"))
        return {};
    if (size == 1 || size == 2 || size == 4 || size == 8)
        return Number{static_cast<unsigned>(size), is_signed};
    return {};
}

class Walk {
  public:
    Walk(Cursor& in, std::string_view section) : in_(in), section_(section) {}

    Status record(const RecordDescription& record) {
        for (const FieldDescription& one : record.fields)
            TRY_IN(field(one), one.name);
        for (const RecordDescription& one : record.subsections)
            TRY_IN(subsection(one), one.name);
        return {};
    }

  private:
    Status field(const FieldDescription& field) {
        if (!field.structure.empty())
            return structs(field);
        const auto number = number_type(field.type, field.size);
        if (field.array_length.has_value())
            return number.has_value() ? in_.numbers(field.name, field.type, number->width, number->is_signed,
                                                    *field.array_length)
                                      : buffers(field);
        // Four numbers under one name.
        if (field.type == "pci irq state" && field.size % 4 == 0)
            return in_.numbers(field.name, field.type, 4, false, field.size / 4);
        if (field.type == "bool" && field.size == 1)
            return in_.boolean(field.name);
        if (number.has_value()) {
            TRY(in_.number(field.name, number->width, number->is_signed));
            return {};
        }
        if (field.type == "virtio")
            return virtio(field);
        return in_.bytes(field.name, field.type, field.size);
    }

    Status buffers(const FieldDescription& field) {
        if (field.size != 0 && *field.array_length > in_.remaining() / field.size)
            return corrupt("{} elements of {} bytes, {} bytes are left", *field.array_length, field.size,
                           in_.remaining());
        return in_.bytes(field.name, field.type, *field.array_length * field.size);
    }

    Status structs(const FieldDescription& field) {
        if (!field.array_length.has_value())
            return structure(field, field.index);
        if (*field.array_length > in_.remaining())
            return corrupt("{} elements, {} bytes are left", *field.array_length, in_.remaining());
        for (std::size_t i = 0; i < *field.array_length; ++i)
            TRY(structure(field, i));
        return {};
    }

    Status structure(const FieldDescription& field, std::optional<std::size_t> index) {
        const RecordDescription& inner = field.structure[0];
        Field made;
        made.name = field.name;
        made.type = field.type;
        made.kind = Field::Kind::Struct;
        made.record = inner.name;
        made.version = inner.version;
        made.index = index;
        const std::uint64_t start = in_.offset();
        TRY(in_.open(std::move(made)));
        TRY(record(inner));
        in_.close();
        if (in_.offset() - start != field.size)
            return corrupt("its fields take {} bytes, {} it should have", in_.offset() - start, field.size);
        return {};
    }

    Status subsection(const RecordDescription& described) {
        const auto header = subsection_at(in_);
        if (!header.has_value() || header->name != described.name)
            return corrupt("the subsection is described and not there, at byte {}", in_.offset());
        Field made;
        made.name = described.name;
        made.type = "subsection";
        made.kind = Field::Kind::Subsection;
        made.version = header->version;
        TRY(in_.open(std::move(made), header->size));
        TRY(record(described));
        in_.close();
        return {};
    }

    // All of a virtio device is one field of QEMU's description.
    Status virtio(const FieldDescription& field) {
        const auto body = in_.peek(field.size);
        if (body.size() == field.size && try_virtio(body))
            return walk_virtio(in_, section_, field.size);
        return in_.bytes(field.name, field.type, field.size);
    }
    bool try_virtio(std::span<const std::byte> body) const {
        std::size_t budget = kMaxFields;
        Cursor trial{body, in_.offset(), budget};
        return walk_virtio(trial, section_, body.size()).ok();
    }

    Cursor& in_;
    std::string_view section_;
};

} // namespace

Status walk(Cursor& in, const RecordDescription& record, std::string_view section) {
    return Walk{in, section}.record(record);
}

} // namespace godwit::migration::inspect
