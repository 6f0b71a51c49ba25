// SPDX-License-Identifier: Apache-2.0
#include "migration/state/reader.h"

namespace godwit {

StateReader::StateReader(ByteReader& in, std::string_view record_name, OrderTrace* trace)
    : in_(in), path_(record_name), trace_(trace) {}

StateReader::Trail::Trail(StateReader& reader, std::string_view name)
    : reader_(reader), length_(reader.path_.size()) {
    reader_.path_ += '.';
    reader_.path_ += name;
}

StateReader::Trail::~Trail() {
    reader_.path_.resize(length_);
}

Status StateReader::unsigned_value(std::string_view name, std::size_t bytes, std::uint64_t& value) {
    const Trail trail{*this, name};
    for (const std::byte byte : TRY(within(in_.take(bytes))))
        value = value << 8 | std::to_integer<std::uint64_t>(byte);
    return {};
}

Status StateReader::value(std::string_view name, bool& number) {
    const Trail trail{*this, name};
    const auto raw = TRY(within(in_.be<std::uint8_t>()));
    if (raw > 1)
        return within(corrupt("{} is not a truth value", raw));
    number = raw != 0;
    return {};
}

Status StateReader::buffer(std::string_view name, std::span<std::byte> out) {
    const Trail trail{*this, name};
    const auto taken = TRY(within(in_.take(out.size())));
    if (!out.empty())
        std::memcpy(out.data(), taken.data(), out.size());
    return {};
}

Result<std::optional<StateReader::SubsectionHeader>> StateReader::next_subsection(std::string_view record) {
    const auto head = in_.peek(2);
    if (head.empty() || static_cast<std::uint8_t>(head[0]) != kSubsectionMark)
        return std::optional<SubsectionHeader>{};
    const auto length = static_cast<std::size_t>(head[1]);
    const auto all = in_.peek(2 + length);
    if (length < record.size() + 1 || all.empty())
        return std::optional<SubsectionHeader>{};
    const std::string_view name{reinterpret_cast<const char*>(all.data()) + 2, length};
    if (!name.starts_with(record))
        return std::optional<SubsectionHeader>{}; // it belongs to the record around this one
    std::string copy{name};
    TRY(within(in_.take(2 + length)));
    const auto version = TRY(within(in_.be<std::uint32_t>()));
    return std::optional<SubsectionHeader>{SubsectionHeader{std::move(copy), version}};
}

Status StateReader::skip(const Unused& unused) {
    const Trail trail{*this, unused.name};
    TRY(within(in_.take(unused.bytes)));
    return {};
}

Status StateReader::too_long(std::string_view name, std::size_t length, std::size_t most) {
    const Trail trail{*this, name};
    return within(corrupt("{} bytes, at most {} can be", length, most));
}

Status StateReader::known_version(const SubsectionHeader& header, std::uint32_t newest) const {
    if (header.version > newest)
        return within(error(ErrorCode::Incompatible, "subsection '{}' has version {}, up to {} is known here",
                            header.name, header.version, newest));
    return {};
}

} // namespace godwit
