// SPDX-License-Identifier: Apache-2.0
#include "migration/protocol/message.h"

#include "migration/protocol/crc32c.h"

namespace godwit::migration {

namespace {
constexpr std::size_t kHeaderCrcAt = 28;
}

std::array<std::byte, kHeaderBytes> encode(const FrameHeader& header) {
    std::array<std::byte, kHeaderBytes> bytes{};
    const std::span all{bytes};
    store_le(all.subspan(0), kFrameMagic);
    store_le(all.subspan(4), static_cast<std::uint16_t>(header.type));
    store_le(all.subspan(8), header.sequence);
    store_le(all.subspan(12), header.body_length);
    store_le(all.subspan(16), header.data_length);
    store_le(all.subspan(20), header.body_crc);
    store_le(all.subspan(kHeaderCrcAt), crc32c(all.first(kHeaderCrcAt)));
    return bytes;
}

Result<FrameHeader> decode_header(std::span<const std::byte, kHeaderBytes> bytes) {
    const std::span<const std::byte> all{bytes};
    if (const auto magic = load_le<std::uint32_t>(all); magic != kFrameMagic)
        return error(ErrorCode::Protocol,
                     "the peer does not speak godwit's protocol: a frame starts with {:#010x}", magic);
    if (load_le<std::uint32_t>(all.subspan(kHeaderCrcAt)) != crc32c(all.first(kHeaderCrcAt)))
        return corrupt("the checksum of a frame header does not hold");
    FrameHeader header;
    const auto type = load_le<std::uint16_t>(all.subspan(4));
    header.type = Message{type};
    header.sequence = load_le<std::uint32_t>(all.subspan(8));
    header.body_length = load_le<std::uint32_t>(all.subspan(12));
    header.data_length = load_le<std::uint32_t>(all.subspan(16));
    header.body_crc = load_le<std::uint32_t>(all.subspan(20));
    const MessageTraits* const traits = traits_of(header.type);
    if (traits == nullptr)
        return error(ErrorCode::Protocol, "message type {} is unknown", type);
    if (load_le<std::uint16_t>(all.subspan(6)) != 0 || load_le<std::uint32_t>(all.subspan(24)) != 0)
        return error(ErrorCode::Protocol, "{}: unknown flags", traits->name);
    if (header.body_length > traits->max_body || header.data_length > traits->max_data)
        return error(ErrorCode::Protocol, "{} of {} + {} bytes, at most {} + {} can be", traits->name,
                     header.body_length, header.data_length, traits->max_body, traits->max_data);
    return header;
}

} // namespace godwit::migration
