// SPDX-License-Identifier: Apache-2.0
#include "migration/inspect/cursor.h"

#include "migration/state/writer.h" // kSubsectionMark

#include <fmt/core.h>

namespace godwit::migration::inspect {

std::uint64_t number_at(const View& view, const Field& field, std::size_t element) {
    const auto bytes = view.bytes(field).subspan(element * field.width, field.width);
    std::uint64_t value = 0;
    for (const std::byte byte : bytes)
        value = value << 8 | std::to_integer<std::uint64_t>(byte);
    if (field.kind == Field::Kind::Signed && field.width < 8) {
        const unsigned shift = 64 - 8 * field.width;
        value = static_cast<std::uint64_t>(static_cast<std::int64_t>(value << shift) >> shift);
    }
    return value;
}

Status Cursor::skip(std::size_t count) {
    TRY(in_.take(count));
    return {};
}

Result<Field*> Cursor::append(Field field, std::uint64_t size) {
    if (budget_ == 0)
        return corrupt("more than {} fields", kMaxFields);
    --budget_;
    if (size > in_.remaining())
        return corrupt("'{}' has {} bytes, {} are left", field.name, size, in_.remaining());
    field.offset = offset();
    field.size = size;
    TRY(in_.take(size));
    auto& into = open_.empty() ? fields_ : open_.back().children;
    into.push_back(std::move(field));
    return &into.back();
}

Result<std::uint64_t> Cursor::number(std::string_view name, unsigned width, bool is_signed) {
    const auto head = in_.peek(width);
    std::uint64_t value = 0;
    for (const std::byte byte : head)
        value = value << 8 | std::to_integer<std::uint64_t>(byte);
    Field field;
    field.name = name;
    field.type = fmt::format("{}int{}", is_signed ? "" : "u", width * 8);
    field.kind = is_signed ? Field::Kind::Signed : Field::Kind::Unsigned;
    field.width = static_cast<std::uint8_t>(width);
    TRY(append(std::move(field), width));
    return value;
}

Status Cursor::numbers(std::string_view name, std::string_view type, unsigned width, bool is_signed,
                       std::uint64_t count) {
    if (count > in_.remaining() / width)
        return corrupt("'{}' has {} elements of {} bytes, {} bytes are left", name, count, width,
                       in_.remaining());
    Field field;
    field.name = name;
    field.type = type;
    field.kind = is_signed ? Field::Kind::Signed : Field::Kind::Unsigned;
    field.width = static_cast<std::uint8_t>(width);
    field.array = true;
    TRY(append(std::move(field), count * width));
    return {};
}

Status Cursor::boolean(std::string_view name) {
    Field field;
    field.name = name;
    field.type = "bool";
    field.kind = Field::Kind::Bool;
    field.width = 1;
    TRY(append(std::move(field), 1));
    return {};
}

Status Cursor::bytes(std::string_view name, std::string_view type, std::uint64_t count) {
    Field field;
    field.name = name;
    field.type = type;
    TRY(append(std::move(field), count));
    return {};
}

Status Cursor::open(Field field, std::size_t header) {
    if (budget_ == 0)
        return corrupt("more than {} fields", kMaxFields);
    --budget_;
    TRY(in_.take(header));
    field.offset = offset();
    open_.push_back(std::move(field));
    return {};
}

void Cursor::close() {
    Field done = std::move(open_.back());
    open_.pop_back();
    done.size = offset() - done.offset;
    (open_.empty() ? fields_ : open_.back().children).push_back(std::move(done));
}

std::vector<Field> Cursor::finish() {
    while (!open_.empty())
        close();
    return std::move(fields_);
}

std::optional<SubsectionHeader> subsection_at(const Cursor& in) {
    const auto head = in.peek(2);
    if (head.empty() || std::to_integer<std::uint8_t>(head[0]) != kSubsectionMark)
        return {};
    const auto length = std::to_integer<std::size_t>(head[1]);
    const std::size_t size = 2 + length + sizeof(std::uint32_t);
    const auto all = in.peek(size);
    if (length == 0 || all.empty())
        return {};
    return SubsectionHeader{std::string{reinterpret_cast<const char*>(all.data()) + 2, length},
                            load_be<std::uint32_t>(all.subspan(2 + length)), size};
}

} // namespace godwit::migration::inspect
