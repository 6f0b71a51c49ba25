// SPDX-License-Identifier: Apache-2.0
//
// The state of each virtio device as it comes in a stream: a valid record in which the input changes fields,
// loaded, and where that is taken, set to work on rings in memory and saved again.
//
//     input := kind(1) situation(1) change*    change := what(1) position(2) value
#include "devices/virtio/fuzz_devices.h"

#include <map>

namespace {

using namespace godwit;
using namespace godwit::virtio;
using namespace godwit::virtio::test;

using Bytes = std::vector<std::byte>;

enum class Situation : std::uint8_t { Fresh, Live, Waiting, Legacy, Stalled };
constexpr std::uint8_t kSituations = 5;

void offer_requests(FuzzMachine& machine) {
    must(machine.memory->write(kFreeRam, virtio_blk_req_header{VIRTIO_BLK_T_IN, 0, 7}));
    for (FakeDriver& driver : machine.drivers)
        driver.chain()
            .readable(kFreeRam, 16)
            .writable(Gpa{kFreeRam.value + 0x1000}, 512)
            .writable(Gpa{kFreeRam.value + 0x2000}, 1)
            .offer();
}

Bytes record_of(Kind kind, Situation situation) {
    FuzzMachine machine{kind};
    machine.transport.legacy_allowed = true;
    machine.transport.legacy_driver = situation == Situation::Legacy;
    const std::uint64_t all = machine.core->offered_features();
    if (situation != Situation::Fresh)
        machine.go_live(situation == Situation::Legacy ? all & ~feature(VIRTIO_F_VERSION_1) : all);
    if (situation == Situation::Waiting) {
        must(machine.core->pause());
        offer_requests(machine);
    }
    if (situation == Situation::Stalled) {
        machine.cut_disk();
        offer_requests(machine);
        for (std::uint16_t i = 0; i < machine.core->queue_count(); ++i)
            machine.core->queue_notified(i);
        for (int turn = 0; turn < 20; ++turn)
            machine.turn();
    }
    must(machine.core->pause());
    return machine.save();
}

// The records are the same every time.
const Bytes& record(Kind kind, Situation situation) {
    static std::map<std::pair<Kind, Situation>, Bytes> made;
    auto& bytes = made[{kind, situation}];
    if (bytes.empty())
        bytes = record_of(kind, situation);
    return bytes;
}

void change(Bytes& bytes, fuzz::Input& in) {
    const std::uint8_t what = in.byte();
    // Positions count from the end as well: subsections are there.
    const std::size_t position = in.word();
    const std::size_t at = (what & 0x80) != 0 ? bytes.size() - std::min(position, bytes.size())
                                              : std::min(position, bytes.size());
    const auto place = std::span{bytes}.subspan(at);
    const auto put = [&]<class T>(T value) {
        if (place.size() >= sizeof value)
            store_be(place, value);
    };
    switch (what & 0x07) {
    case 0:
        return put(in.byte());
    case 1:
        return put(in.word());
    case 2:
        return put(in.number<std::uint32_t>());
    case 3:
        return put(in.number<std::uint64_t>());
    case 4: {
        const auto inserted = in.take(in.byte());
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), inserted.begin(), inserted.end());
        return;
    }
    case 5: {
        const std::size_t count = std::min<std::size_t>(in.byte(), place.size());
        const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(at);
        bytes.erase(from, from + static_cast<std::ptrdiff_t>(count));
        return;
    }
    case 6:
        bytes.resize(at);
        return;
    default:
        if (!place.empty())
            place[0] ^= static_cast<std::byte>(1 << in.byte() % 8);
    }
}

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    static constexpr std::string_view kKindNames[] = {"fake", "blk", "net", "rng"};
    static constexpr std::string_view kNames[] = {"fresh", "live", "waiting", "legacy", "stalled"};
    std::vector<Seed> seeds;
    for (std::uint8_t kind = 0; kind < kKinds; ++kind)
        for (std::uint8_t situation = 0; situation < kSituations; ++situation)
            seeds.push_back({fmt::format("{}-{}", kKindNames[kind], kNames[situation]),
                             {std::byte{kind}, std::byte{situation}, std::byte{0}, std::byte{3}, std::byte{0},
                              std::byte{0}}});
    return seeds;
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input in{data, size};
    const auto kind = static_cast<Kind>(in.byte() % kKinds);
    const auto situation = static_cast<Situation>(in.byte() % kSituations);
    Bytes bytes = record(kind, situation);
    while (!in.empty() && bytes.size() < 64 * 1024)
        change(bytes, in);

    FuzzMachine machine{kind};
    machine.transport.legacy_allowed = true;
    machine.transport.legacy_driver = situation == Situation::Legacy;
    must(machine.core->pause());
    if (const Status loaded = machine.load(bytes); !loaded.ok()) {
        machine.core->discard_load();
        return 0;
    }
    fuzz::require(machine.core->status() == 0, "a load changes nothing before it is committed");
    must(machine.core->commit_load());
    const Bytes saved = machine.save();
    fuzz::require(machine.load(saved).ok(), "what was taken can be given on");
    machine.core->discard_load();
    offer_requests(machine);
    if (machine.core->resume().ok()) {
        for (std::uint16_t i = 0; i < machine.core->queue_count(); ++i)
            machine.core->queue_notified(i);
        machine.turn();
    }
    must(machine.core->pause());
    fuzz::require(machine.load(machine.save()).ok(), "what was taken can be given on after it ran");
    return 0;
}
