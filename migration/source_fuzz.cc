// SPDX-License-Identifier: Apache-2.0
//
// A whole migration to a hostile destination: the guest is here, or there, or in doubt after a COMMIT.
#include "migration/fuzz_channel.h"
#include "migration/protocol/payloads.h"
#include "migration/source.h"
#include "migration/test_port.h"
#include "vmm/base/fuzz.h"

namespace {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;

constexpr std::uint64_t kRam = 4 * kPageSize;

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    World world;
    TestPort port{world, kRam};
    const Hello hello{kProtocolVersion, kCapabilities, {}, Purpose::Move, port.description};
    ByteWriter whole, refusal, report, error;
    put_frame(whole, Message::HelloReply, encode(hello));
    put_frame(whole, Message::RoundAck, encode(Round{1, kRam / kPageSize}));
    put_frame(whole, Message::Ready, encode(Ready{{}, {}, {"timer: load"}}));
    put_frame(whole, Message::Running, encode(RunningBody{}));
    const Differences differences{difference(Reason::MachineMemorySize, "memory", {"1", "2"})};
    put_frame(refusal, Message::Refuse, encode(differences));
    put_frame(report, Message::CheckReport, encode(differences, Weights::Told));
    put_frame(error, Message::HelloReply, encode(hello));
    put_frame(error, Message::Error, encode_error(Error{ErrorCode::System, "no room"}));
    return {{"whole", whole.take()},
            {"refusal", refusal.take()},
            {"report", report.take()},
            {"error", error.take()}};
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input in{data, size};
    World world;
    TestPort port{world, kRam};
    port.boot(RunState::Paused);
    FuzzChannel channel{in};
    Progress progress;
    SourceOptions options;
    options.timeout = std::chrono::seconds{1};
    const auto outcome = migrate(port, channel, options, progress, nullptr);
    fuzz::require(outcome.ok() == port.called("handed_over"), "success is a guest that is there");
    const bool in_doubt = !outcome.ok() && outcome.error().code == ErrorCode::InDoubt;
    fuzz::require(outcome.ok() || in_doubt || port.owns_disk(), "a guest that stays has its disk");
    return 0;
}
