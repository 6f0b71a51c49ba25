// SPDX-License-Identifier: Apache-2.0
//
// Bodies of the messages: what can be decoded is the same when it was encoded and decoded again. The first
// byte says whose body it is.
#include "migration/preflight/compare.h"
#include "migration/preflight/difference.h"
#include "migration/protocol/message.h"
#include "migration/protocol/payloads.h"
#include "vmm/base/fuzz.h"
#include "vmm/cpu/sample_models.h"

#include <algorithm>

namespace {

using namespace godwit;
using namespace godwit::migration;

constexpr std::uint64_t kRam = 64 * kPageSize;

// Of what travels in one way only.
void same_again(std::span<const std::byte> body, const Bytes& again) {
    fuzz::require(std::ranges::equal(body, again), "a body is what was read from it");
}

void hello(std::span<const std::byte> body) {
    (void)hello_version(body);
    const auto once = decode_hello(body);
    if (!once.ok())
        return;
    const auto twice = decode_hello(encode(*once));
    fuzz::require(twice.ok() && twice->machine == once->machine && twice->accepted == once->accepted,
                  "a HELLO that was taken can be given on");
    const auto name = [](std::uint16_t, unsigned bit) { return "bit " + std::to_string(bit); };
    MachineDescription here;
    here.board = "test";
    here.cpu = cpu::test::server();
    Differences found = compare_machines(once->machine, here, name);
    HostState host;
    host.cpu = here.cpu;
    for (const Differences& more :
         {compare_machines(here, once->machine, name), compare_host(once->machine, here, host)})
        found.insert(found.end(), more.begin(), more.end());
    accept(found, once->accepted);
    (void)as_error(found);
    const auto told = decode_differences(encode(found, Weights::Told));
    fuzz::require(told.ok(), "our own list of differences can be read");
}

void differences(std::span<const std::byte> body) {
    const auto once = decode_differences(body);
    if (!once.ok())
        return;
    (void)as_error(*once);
    const auto twice = decode_differences(encode(*once, Weights::Told));
    fuzz::require(twice.ok(), "a list that was taken can be given on");
}

void body_of(std::uint8_t message, std::span<const std::byte> body) {
    switch (Message{message}) {
    case Message::Hello:
    case Message::HelloReply:
        return hello(body);
    case Message::Refuse:
    case Message::CheckReport:
        return differences(body);
    case Message::Ram:
    case Message::RamPacked:
        for (const std::uint32_t length : {std::uint32_t{kPageSize}, std::uint32_t{3 * kPageSize}, 100U}) {
            const auto ram = message == static_cast<std::uint8_t>(Message::Ram)
                                 ? decode_ram(body, length, kRam)
                                 : decode_packed(body, length, kRam);
            if (!ram.ok())
                continue;
            same_again(body, encode_ram(ram->runs, ram->page_crcs));
            for (const PageRun& run : ram->runs)
                fuzz::require(run.offset.value + run.pages * kPageSize <= kRam, "runs are inside of RAM");
        }
        return;
    case Message::RamZero:
        if (const auto runs = decode_zero(body, kRam); runs.ok())
            same_again(body, encode_zero(*runs));
        return;
    case Message::RoundEnd:
        if (const auto round = decode_round(body); round.ok())
            same_again(body, encode(*round));
        return;
    case Message::State:
        if (const auto state = decode_state(body); state.ok())
            fuzz::require(decode_state(encode(*state)).ok(), "a STATE that was taken can be given on");
        return;
    case Message::Ready:
        if (const auto ready = decode_ready(body); ready.ok())
            fuzz::require(decode_ready(encode(*ready)).ok(), "a READY that was taken can be given on");
        return;
    case Message::Commit:
        if (const auto commit = decode_commit(body); commit.ok())
            same_again(body, encode(*commit));
        return;
    case Message::Running:
        if (const auto running = decode_running(body); running.ok())
            same_again(body, encode(*running));
        return;
    case Message::Error:
        fuzz::require(decode_error(body).code != ErrorCode::InDoubt, "in doubt is what we find ourselves");
        return;
    case Message::Query:
        if (const auto id = decode_id(body); id.ok())
            same_again(body, encode_id(*id));
        return;
    case Message::Attach:
        if (const auto attach = decode_attach(body); attach.ok())
            same_again(body, encode(*attach));
        return;
    case Message::Verify:
        if (const auto verify = decode_verify(body); verify.ok())
            same_again(body, encode_verify(verify->first, verify->digests));
        return;
    case Message::Boot:
        if (const auto piece = decode_boot(body); piece.ok())
            same_again(body, encode(*piece));
        return;
    default: // a header
        if (body.size() >= kHeaderBytes)
            if (const auto header = decode_header(body.first<kHeaderBytes>()); header.ok())
                fuzz::require(header->body_length <= traits_of(header->type)->max_body,
                              "a header's lengths are bounded");
    }
}

Bytes seed_of(Message message, const Bytes& body) {
    Bytes seed{static_cast<std::byte>(message)};
    seed.insert(seed.end(), body.begin(), body.end());
    return seed;
}

MachineDescription sample_machine() {
    MachineDescription machine;
    machine.board = "test";
    machine.memory = kRam;
    machine.cpu = cpu::test::server();
    machine.sections = {{"timer", 2, 1}};
    DeviceDescription disk{"disk0", "virtio-blk", 2, "pci", "0000:00:01.0"};
    disk.queue_sizes = {256};
    disk.blk = BlkDescription{4096, 512, false, "a-serial"};
    DeviceDescription net{"net0", "virtio-net", 1, "ccw", "0.0.0001"};
    net.queue_sizes = {256, 256, 64};
    net.net = NetDescription{{0x52, 0x54, 0, 1, 2, 3}, std::uint16_t{1500}};
    machine.devices = {disk, net};
    return machine;
}

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    const PageRun run{RamOffset{kPageSize}, 1};
    const std::uint32_t sum = 5;
    const Hello hello{kProtocolVersion,       kCapabilities, {}, Purpose::Move, sample_machine(), 2,
                      {"machine.memory-size"}};
    const Differences list{difference(Reason::MachineMemorySize, "memory", {"1", "2"})};
    const std::string_view kernel = "a kernel";
    return {{"hello", seed_of(Message::Hello, encode(hello))},
            {"refuse", seed_of(Message::Refuse, encode(list))},
            {"report", seed_of(Message::CheckReport, encode(list, Weights::Told))},
            {"ram", seed_of(Message::Ram, encode_ram({&run, 1}, {&sum, 1}))},
            {"zero", seed_of(Message::RamZero, encode_zero({&run, 1}))},
            {"round", seed_of(Message::RoundEnd, encode(Round{1, 2}))},
            {"state", seed_of(Message::State, encode(StateBody{{"a", "b"}, {}}))},
            {"ready", seed_of(Message::Ready, encode(Ready{{}, {}, {"a", "b"}}))},
            {"commit", seed_of(Message::Commit, encode(Commit{}))},
            {"running", seed_of(Message::Running, encode(RunningBody{}))},
            {"error", seed_of(Message::Error, encode_error(Error{ErrorCode::System, "no room"}))},
            {"query", seed_of(Message::Query, encode_id({}))},
            {"attach", seed_of(Message::Attach, encode(Attach{{}, 1}))},
            {"verify", seed_of(Message::Verify, encode_verify(0, {&sum, 1}))},
            {"boot", seed_of(Message::Boot, encode(BootPiece{BootPart::Kernel, 8, 0, 1,
                                                             std::as_bytes(std::span{kernel})}))}};
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input in{data, size};
    const std::uint8_t message = in.byte();
    body_of(message, in.rest());
    return 0;
}
