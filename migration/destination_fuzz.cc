// SPDX-License-Identifier: Apache-2.0
//
// A whole migration as a hostile source makes it: HELLO, RAM in every form, what the guest is booted with,
// the device state, COMMIT.
#include "migration/destination.h"
#include "migration/fuzz_channel.h"
#include "migration/protocol/payloads.h"
#include "migration/ram/codec.h"
#include "migration/ram/ram_digest.h"
#include "migration/test_port.h"
#include "migration/wire/save_load.h"
#include "vmm/base/fuzz.h"

namespace {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;

constexpr std::uint64_t kRam = 4 * kPageSize;
constexpr MigrationId kId{std::byte{1}};

Bytes hello(std::uint64_t capabilities) {
    World world;
    TestPort port{world, kRam};
    return encode(Hello{kProtocolVersion, capabilities, kId, Purpose::Move, port.description});
}

Bytes device_state(RunState state) {
    TestSection<TimerState> timer{TimerState{1, 2}};
    TestSection<DeviceState> device{sample_device(), "0000:00:01.0/"};
    StateSection* const sections[] = {&timer, &device};
    OrderTrace trace;
    return std::move(wire::save_state(sections, state, trace, wire::Description::None)).value();
}

void put_end(ByteWriter& out, std::uint32_t round) {
    put_frame(out, Message::FinalRound, encode(Round{round, 0}));
    put_frame(out, Message::RoundEnd, encode(Round{round, 0}));
}

void put_state(ByteWriter& out, RunState state) {
    const Bytes stream = device_state(state);
    put_frame(out, Message::State, encode(StateBody{{"timer: save"}, stream}));
    put_frame(out, Message::Commit, encode(Commit{kId, state}));
}

// Zeros first, then a page.
Bytes plain() {
    ByteWriter out;
    put_frame(out, Message::Hello, hello(0));
    const PageRun all{RamOffset{0}, kRam / kPageSize};
    put_frame(out, Message::RamZero, encode_zero({&all, 1}));
    put_frame(out, Message::RoundEnd, encode(Round{1, kRam / kPageSize}));
    const PageRun one{RamOffset{kPageSize}, 1};
    const Bytes page(kPageSize);
    const std::uint32_t sum = crc32c(page);
    put_frame(out, Message::Ram, encode_ram({&one, 1}, {&sum, 1}), {}, kPageSize);
    put_frame(out, Message::RoundEnd, encode(Round{2, 1}));
    put_end(out, 3);
    put_state(out, RunState::Paused);
    return out.take();
}

Bytes packed(Compression method, std::uint64_t capability) {
    ByteWriter out;
    put_frame(out, Message::Hello, hello(capability | kCanVerify | kCanBoot));
    const std::string_view kernel = "a kernel", line = "quiet";
    const auto piece = [&](BootPart part, std::string_view text) {
        const auto bytes = std::as_bytes(std::span{text});
        put_frame(out, Message::Boot, encode(BootPiece{part, text.size(), 0, crc32c(bytes), bytes}));
    };
    piece(BootPart::Kernel, kernel);
    piece(BootPart::Initrd, {});
    piece(BootPart::CommandLine, line);
    const PageRun all{RamOffset{0}, kRam / kPageSize};
    const Bytes pages(kRam);
    const std::vector<std::uint32_t> sums(kRam / kPageSize, crc32c(std::span{pages}.first(kPageSize)));
    const auto codec = std::move(Codec::create(method)).value();
    const auto block = codec->compress(pages, pages.size() - 1).value();
    put_frame(out, Message::RamPacked, encode_ram({&all, 1}, sums), block);
    put_frame(out, Message::RoundEnd, encode(Round{1, kRam / kPageSize}));
    put_end(out, 2);
    const std::uint32_t digest = crc32c(pages);
    put_frame(out, Message::Verify, encode_verify(0, {&digest, 1}));
    put_state(out, RunState::Running);
    return out.take();
}

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    ByteWriter check;
    World world;
    TestPort port{world, kRam};
    put_frame(check, Message::Hello,
              encode(Hello{kProtocolVersion,
                           kKnowsWeights,
                           kId,
                           Purpose::Check,
                           port.description,
                           2,
                           {"machine.memory-size"}}));
    return {{"plain", plain()},
            {"lz4", packed(Compression::Lz4, kCanLz4)},
            {"zstd", packed(Compression::Zstd, kCanZstd)},
            {"check", check.take()}};
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input in{data, size};
    World world;
    TestPort port{world, kRam};
    FuzzChannel channel{in};
    Progress progress;
    DestinationOptions options;
    options.timeout = std::chrono::seconds{1};
    const auto outcome = receive(port, channel, options, progress, nullptr);
    const bool moved = outcome.ok() && port.called("take_over");
    fuzz::require(moved == port.owns_disk(), "who has the guest has its disk");
    fuzz::require(moved || (!port.runs() && port.device.state == DeviceState{} && ram_is_zero(port)),
                  "a guest that was refused leaves nothing");
    return 0;
}
