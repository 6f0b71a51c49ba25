// SPDX-License-Identifier: Apache-2.0
#include "migration/boot_transfer.h"

#include "migration/protocol/crc32c.h"

#include <algorithm>

namespace godwit::migration {

namespace {

Status send_part(SourceSession& session, BootPart part, std::span<const std::byte> all, RateLimit* limit) {
    BootPiece piece{.part = part, .total = all.size()};
    do {
        const std::uint64_t most =
            limit != nullptr ? limit->frame_bytes(kBootBytesPerFrame) : kBootBytesPerFrame;
        piece.bytes = all.subspan(piece.offset, std::min<std::uint64_t>(most, all.size() - piece.offset));
        piece.sum = crc32c(piece.bytes, piece.sum);
        if (limit != nullptr)
            TRY(limit->take(piece.bytes.size(), session.channel().cancel()));
        TRY(session.check_peer());
        TRY(session.send(Message::Boot, encode(piece)));
        piece.offset += piece.bytes.size();
    } while (piece.offset != all.size());
    return {};
}

Status send_blob(SourceSession& session, BootPart part, const Blob& blob, RateLimit* limit) {
    const Mapping bytes = TRY(blob.map());
    return send_part(session, part, bytes.bytes(), limit);
}

} // namespace

Status send_boot(SourceSession& session, const BootSource& source, RateLimit* limit) {
    TRY(send_blob(session, BootPart::Kernel, source.kernel, limit));
    if (source.initrd)
        TRY(send_blob(session, BootPart::Initrd, *source.initrd, limit));
    return send_part(session, BootPart::CommandLine, std::as_bytes(std::span{source.command_line}), limit);
}

Result<BootSourcePtr> receive_boot(DestinationSession& session, std::uint64_t ram_size) {
    BootAssembly assembly{ram_size};
    while (!assembly.complete()) {
        const Bytes body = TRY(session.expect(Message::Boot));
        const BootPiece piece = TRY(decode_boot(body));
        const std::uint32_t sum = TRY(assembly.add(piece.part, piece.total, piece.offset, piece.bytes));
        if (sum != piece.sum)
            return corrupt("the checksum of the {} up to byte {} does not hold", to_string(piece.part),
                           piece.offset + piece.bytes.size());
    }
    return std::move(assembly).take();
}

} // namespace godwit::migration
