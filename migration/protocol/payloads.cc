// SPDX-License-Identifier: Apache-2.0
#include "migration/protocol/payloads.h"

#include "migration/preflight/wire_text.h"
#include "migration/printable.h"
#include "migration/protocol/message.h"
#include "migration/wire/format.h"

#include <algorithm>

namespace godwit::migration {

namespace {

void put_trace(ByteWriter& out, const std::vector<std::string>& trace) {
    std::string text;
    for (const std::string& step : trace) {
        if (text.size() + step.size() + 1 > kMaxTraceBytes)
            break; // a trace is for people; a cut one still helps
        text += step;
        text += '\n';
    }
    put_text(out, text);
}

Result<std::vector<std::string>> get_trace(ByteReader& in) {
    const auto length = TRY(in.le<std::uint32_t>());
    if (length > kMaxTraceBytes)
        return error(ErrorCode::Protocol, "trace of {} bytes, at most {} can be", length, kMaxTraceBytes);
    const auto bytes = TRY(in.take(length));
    std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    std::vector<std::string> trace;
    while (!text.empty() && trace.size() < kMaxTraceSteps) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        trace.push_back(printable(text.substr(0, end)));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return trace;
}

Status get_id(ByteReader& in, MigrationId& id) {
    std::ranges::copy(TRY(in.take(id.size())), id.begin());
    return {};
}

void put_runs(ByteWriter& out, std::span<const PageRun> runs) {
    out.le(static_cast<std::uint32_t>(runs.size()));
    for (const PageRun& run : runs) {
        out.le(run.offset.value);
        out.le(run.pages);
    }
}

Result<std::vector<PageRun>> get_runs(ByteReader& in, std::uint32_t limit, std::uint64_t ram_size) {
    const auto count = TRY(in.le<std::uint32_t>());
    if (count == 0 || count > limit)
        return error(ErrorCode::Protocol, "{} runs of pages, 1 to {} can be", count, limit);
    std::vector<PageRun> runs;
    runs.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) {
        PageRun run;
        run.offset.value = TRY(in.le<std::uint64_t>());
        run.pages = TRY(in.le<std::uint32_t>());
        const std::uint64_t bytes = std::uint64_t{run.pages} * kPageSize;
        if (run.pages == 0 || run.offset.value % kPageSize != 0 || run.offset.value >= ram_size ||
            bytes > ram_size - run.offset.value)
            return error(ErrorCode::Protocol, "{} pages at {} are not pages of the {} bytes of RAM",
                         run.pages, run.offset, ram_size);
        runs.push_back(run);
    }
    return runs;
}

} // namespace

Bytes encode(const Hello& hello) {
    ByteWriter out;
    out.le(hello.version);
    out.le(hello.capabilities);
    out.append(hello.id);
    out.le(static_cast<std::uint8_t>(hello.purpose));
    out.le(hello.connections);
    out.le(static_cast<std::uint32_t>(std::min<std::size_t>(hello.accepted.size(), kMaxAccepted)));
    for (const std::string& code :
         std::span{hello.accepted}.first(std::min<std::size_t>(hello.accepted.size(), kMaxAccepted)))
        put_text(out, code);
    out.append(encode(hello.machine));
    return out.take();
}

Result<Hello> decode_hello(std::span<const std::byte> body) {
    ByteReader in{body};
    Hello hello;
    hello.version = TRY(in.le<std::uint32_t>());
    if (hello.version != kProtocolVersion)
        return error(ErrorCode::Incompatible, "the peer speaks protocol version {}, {} is spoken here",
                     hello.version, kProtocolVersion);
    hello.capabilities = TRY(in.le<std::uint64_t>());
    TRY(get_id(in, hello.id));
    const auto purpose = TRY(in.le<std::uint8_t>());
    if (purpose > static_cast<std::uint8_t>(Purpose::Check))
        return error(ErrorCode::Protocol, "purpose {}", purpose);
    hello.purpose = Purpose{purpose};
    hello.connections = TRY(in.le<std::uint32_t>());
    if (hello.connections == 0 || hello.connections > kMaxConnections)
        return error(ErrorCode::Protocol, "{} connections, 1 to {} can be", hello.connections,
                     kMaxConnections);
    const auto accepted = TRY(in.le<std::uint32_t>());
    if (accepted > kMaxAccepted)
        return error(ErrorCode::Protocol, "{} reasons are accepted, at most {} can be", accepted,
                     kMaxAccepted);
    for (std::uint32_t i = 0; i < accepted; ++i)
        hello.accepted.push_back(TRY(get_text(in, kMaxCode, "code of a reason")));
    const auto machine = TRY(in.take(in.remaining()));
    hello.machine = TRY(decode_description(machine));
    return hello;
}

Result<std::uint32_t> hello_version(std::span<const std::byte> body) {
    return ByteReader{body}.le<std::uint32_t>();
}

Bytes encode_error(const Error& error) {
    ByteWriter out;
    out.le(static_cast<std::uint32_t>(error.code));
    put_text(out, std::string_view{error.text}.substr(0, kMaxErrorText));
    return out.take();
}

Error decode_error(std::span<const std::byte> body) {
    ByteReader in{body};
    auto code = in.le<std::uint32_t>();
    if (!code.ok())
        return std::move(code).error();
    auto text = get_text(in, kMaxErrorText, "error text");
    if (!text.ok())
        return std::move(text).error();
    // A code from a newer peer is still an error with a text; in doubt is only what we find ourselves.
    const bool known = code.value() <= static_cast<std::uint32_t>(ErrorCode::GuestEnded) &&
                       ErrorCode{static_cast<int>(code.value())} != ErrorCode::InDoubt;
    return {known ? ErrorCode{static_cast<int>(code.value())} : ErrorCode::Protocol, std::move(text).value()};
}

Bytes encode_ram(std::span<const PageRun> runs, std::span<const std::uint32_t> page_crcs) {
    ByteWriter out;
    put_runs(out, runs);
    for (const std::uint32_t crc : page_crcs)
        out.le(crc);
    return out.take();
}

namespace {

Result<RamBody> decode_pages(std::span<const std::byte> body, std::uint64_t ram_size) {
    ByteReader in{body};
    RamBody ram;
    ram.runs = TRY(get_runs(in, kPagesPerFrame, ram_size));
    std::uint64_t pages = 0;
    for (const PageRun& run : ram.runs)
        pages += run.pages;
    if (pages > kPagesPerFrame)
        return error(ErrorCode::Protocol, "a frame of {} pages, at most {} can be", pages, kPagesPerFrame);
    for (std::uint64_t i = 0; i < pages; ++i)
        ram.page_crcs.push_back(TRY(in.le<std::uint32_t>()));
    TRY(at_end(in));
    return ram;
}

} // namespace

Result<RamBody> decode_ram(std::span<const std::byte> body, std::uint32_t data_length,
                           std::uint64_t ram_size) {
    RamBody ram = TRY(decode_pages(body, ram_size));
    if (ram.page_crcs.size() * kPageSize != data_length)
        return error(ErrorCode::Protocol, "runs of {} pages with {} bytes of data", ram.page_crcs.size(),
                     data_length);
    return ram;
}

Result<RamBody> decode_packed(std::span<const std::byte> body, std::uint32_t data_length,
                              std::uint64_t ram_size) {
    RamBody ram = TRY(decode_pages(body, ram_size));
    if (data_length == 0 || data_length >= ram.page_crcs.size() * kPageSize)
        return error(ErrorCode::Protocol, "{} pages compressed to {} bytes", ram.page_crcs.size(),
                     data_length);
    return ram;
}

Bytes encode_zero(std::span<const PageRun> runs) {
    ByteWriter out;
    put_runs(out, runs);
    return out.take();
}

Result<std::vector<PageRun>> decode_zero(std::span<const std::byte> body, std::uint64_t ram_size) {
    ByteReader in{body};
    auto runs = TRY(get_runs(in, kRangesPerFrame, ram_size));
    TRY(at_end(in));
    return runs;
}

Bytes encode(const Round& round) {
    ByteWriter out;
    out.le(round.number);
    out.le(round.pages);
    return out.take();
}

Result<Round> decode_round(std::span<const std::byte> body) {
    ByteReader in{body};
    Round round;
    round.number = TRY(in.le<std::uint32_t>());
    round.pages = TRY(in.le<std::uint64_t>());
    TRY(at_end(in));
    return round;
}

Bytes encode_verify(std::uint64_t first, std::span<const std::uint32_t> digests) {
    ByteWriter out;
    out.le(first);
    out.le(static_cast<std::uint32_t>(digests.size()));
    for (const std::uint32_t digest : digests)
        out.le(digest);
    return out.take();
}

Result<Verify> decode_verify(std::span<const std::byte> body) {
    ByteReader in{body};
    Verify verify;
    verify.first = TRY(in.le<std::uint64_t>());
    const auto count = TRY(in.le<std::uint32_t>());
    if (count == 0 || count > kDigestsPerFrame)
        return error(ErrorCode::Protocol, "{} checksums, 1 to {} can be", count, kDigestsPerFrame);
    for (std::uint32_t i = 0; i < count; ++i)
        verify.digests.push_back(TRY(in.le<std::uint32_t>()));
    TRY(at_end(in));
    return verify;
}

Bytes encode(const BootPiece& piece) {
    ByteWriter out;
    out.le(static_cast<std::uint8_t>(piece.part));
    out.le(piece.total);
    out.le(piece.offset);
    out.le(piece.sum);
    out.append(piece.bytes);
    return out.take();
}

Result<BootPiece> decode_boot(std::span<const std::byte> body) {
    ByteReader in{body};
    BootPiece piece;
    const auto part = TRY(in.le<std::uint8_t>());
    if (part >= kBootParts)
        return error(ErrorCode::Protocol, "part {} of what the guest is booted with", part);
    piece.part = BootPart{part};
    piece.total = TRY(in.le<std::uint64_t>());
    piece.offset = TRY(in.le<std::uint64_t>());
    piece.sum = TRY(in.le<std::uint32_t>());
    if (in.remaining() > kBootBytesPerFrame)
        return error(ErrorCode::Protocol, "a piece of {} bytes of the {}, at most {} can be", in.remaining(),
                     to_string(piece.part), kBootBytesPerFrame);
    piece.bytes = TRY(in.take(in.remaining()));
    return piece;
}

Bytes encode(const Attach& attach) {
    ByteWriter out;
    out.append(attach.id);
    out.le(attach.index);
    return out.take();
}

Result<Attach> decode_attach(std::span<const std::byte> body) {
    ByteReader in{body};
    Attach attach;
    TRY(get_id(in, attach.id));
    attach.index = TRY(in.le<std::uint32_t>());
    TRY(at_end(in));
    return attach;
}

Bytes encode(const StateBody& state) {
    ByteWriter out;
    put_trace(out, state.trace);
    out.append(state.stream);
    return out.take();
}

Result<StateBody> decode_state(std::span<const std::byte> body) {
    ByteReader in{body};
    StateBody state;
    state.trace = TRY(get_trace(in));
    if (in.remaining() > wire::kMaxStateBytes)
        return error(ErrorCode::Protocol, "device state of {} bytes, at most {} can be", in.remaining(),
                     wire::kMaxStateBytes);
    state.stream = TRY(in.take(in.remaining()));
    return state;
}

Bytes encode(const Ready& ready) {
    ByteWriter out;
    out.le(static_cast<std::uint64_t>(ready.load.count()));
    out.le(static_cast<std::uint64_t>(ready.apply.count()));
    put_trace(out, ready.trace);
    return out.take();
}

Result<Ready> decode_ready(std::span<const std::byte> body) {
    ByteReader in{body};
    Ready ready;
    ready.load = std::chrono::microseconds{TRY(in.le<std::uint64_t>())};
    ready.apply = std::chrono::microseconds{TRY(in.le<std::uint64_t>())};
    ready.trace = TRY(get_trace(in));
    TRY(at_end(in));
    return ready;
}

Bytes encode(const Commit& commit) {
    ByteWriter out;
    out.append(commit.id);
    out.le(static_cast<std::uint32_t>(commit.state));
    return out.take();
}

Result<Commit> decode_commit(std::span<const std::byte> body) {
    ByteReader in{body};
    Commit commit;
    TRY(get_id(in, commit.id));
    const auto state = TRY(in.le<std::uint32_t>());
    if (state > static_cast<std::uint32_t>(kLastRunState))
        return error(ErrorCode::Protocol, "run state {}", state);
    commit.state = RunState{static_cast<int>(state)};
    TRY(at_end(in));
    return commit;
}

Bytes encode(const RunningBody& running) {
    ByteWriter out;
    out.append(running.id);
    out.le(static_cast<std::uint64_t>(running.take_over.count()));
    return out.take();
}

Result<RunningBody> decode_running(std::span<const std::byte> body) {
    ByteReader in{body};
    RunningBody running;
    TRY(get_id(in, running.id));
    running.take_over = std::chrono::microseconds{TRY(in.le<std::uint64_t>())};
    TRY(at_end(in));
    return running;
}

Bytes encode_id(const MigrationId& id) {
    return {id.begin(), id.end()};
}

Result<MigrationId> decode_id(std::span<const std::byte> body) {
    ByteReader in{body};
    MigrationId id;
    TRY(get_id(in, id));
    TRY(at_end(in));
    return id;
}

} // namespace godwit::migration
