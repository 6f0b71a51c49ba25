// SPDX-License-Identifier: Apache-2.0
//
// Status, features, doorbells, configuration space and resets at the wrong time or with wrong values.
#include "guest-tests/hostile/attack.h"
#include "guest-tests/hostile/tables.h"

#include <algorithm>

namespace godwit::hostile {

using namespace virtio;

namespace {

constexpr Target kConfigured[] = {kBlk, {"net", Kind::Net, 0}}; // that have a configuration space
constexpr std::uint8_t kRunning = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;

// Accepts these features beside the usual ones; FEATURES_OK must not stay.
std::function<void(Attack&)> refused_features(std::uint64_t more, std::uint64_t less = 0) {
    return [=](Attack& a) {
        a.driver().accept((a.victim().wanted_features() | more) & ~less);
        a.expect(!a.driver().set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK), "FEATURES_OK was taken");
        a.expect((a.driver().status() & FEATURES_OK) == 0, "FEATURES_OK is set");
        a.expect(a.victim().go_on(Stage::Driver, Stage::Live), "right features were not taken afterwards");
    };
}

// Writes a status that clears bits: on PCI nothing happens, channel I/O refuses it.
std::function<void(Attack&)> cleared_bits(std::uint8_t status) {
    return [=](Attack& a) {
        a.expect(!a.driver().set_status(status), "the status was taken");
        a.expect(a.driver().status() == kRunning, "the status has changed");
    };
}

Bytes all_config(Attack& a) {
    return a.driver().read_config(0, a.victim().core().traits().config_length);
}

Bytes guest_bytes(Attack& a) {
    Bytes bytes(Station::kRegion);
    must(a.memory().read(Gpa{kVictimMemory}, bytes));
    return bytes;
}

struct FeatureCase {
    std::string_view name;
    unsigned bit;
};
// Not offered on any of the devices.
constexpr FeatureCase kNeverOffered[] = {
    {"VIRTIO_F_RING_PACKED", VIRTIO_F_RING_PACKED},
    {"VIRTIO_F_ACCESS_PLATFORM", VIRTIO_F_ACCESS_PLATFORM},
    {"VIRTIO_F_IN_ORDER", VIRTIO_F_IN_ORDER},
    {"VIRTIO_F_SR_IOV", VIRTIO_F_SR_IOV},
    {"VIRTIO_F_NOTIFICATION_DATA", VIRTIO_F_NOTIFICATION_DATA},
    {"VIRTIO_F_NOTIFY_ON_EMPTY", VIRTIO_F_NOTIFY_ON_EMPTY},
    {"bit 22 (VIRTIO_NET_F_MQ)", 22},
    {"bit 63", 63},
};

} // namespace

std::vector<Case> negotiation_cases() {
    std::vector<Case> cases{
        // ---- status
        {.rule = "DRIVER_OK without FEATURES_OK",
         .section = "3.1.1",
         .targets = kDevices,
         .outcome = Outcome::Refused,
         .effect = "DRIVER_OK stays clear",
         .act =
             [](Attack& a) {
                 a.expect(!a.driver().set_status(ACKNOWLEDGE | DRIVER | DRIVER_OK), "DRIVER_OK was taken");
                 a.expect(a.driver().status() == (ACKNOWLEDGE | DRIVER), "the status has changed");
                 a.expect(a.victim().go_on(Stage::Driver, Stage::Live),
                          "the right order was not taken afterwards");
             },
         .stage = Stage::Driver,
         .alive = true},
        {.rule = "FEATURES_OK without ACKNOWLEDGE and DRIVER",
         .section = "3.1.1",
         .targets = kDevices,
         .outcome = Outcome::Refused,
         .effect = "FEATURES_OK stays clear",
         .act =
             [](Attack& a) {
                 a.driver().accept(a.victim().wanted_features());
                 a.expect(!a.driver().set_status(FEATURES_OK), "FEATURES_OK was taken");
                 a.expect(a.victim().go_on(Stage::Reset, Stage::Live),
                          "the right order was not taken afterwards");
             },
         .stage = Stage::Reset,
         .alive = true},
        {.rule = "DRIVER before ACKNOWLEDGE",
         .section = "3.1.1",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "the order of these two does not matter",
         .act =
             [](Attack& a) {
                 a.expect(a.driver().set_status(DRIVER) && a.driver().set_status(DRIVER | ACKNOWLEDGE),
                          "it was refused");
                 a.expect(a.victim().go_on(Stage::Driver, Stage::Live), "the rest was not taken");
             },
         .stage = Stage::Reset,
         .alive = true},
        {.rule = "all status bits at once, after features and queues",
         .section = "3.1.1",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "the device goes live",
         .act =
             [](Attack& a) {
                 a.driver().accept(a.victim().wanted_features());
                 a.expect(a.victim().go_on(Stage::Negotiated, Stage::QueuesSet), "queues were refused");
                 a.expect(a.driver().set_status(kRunning), "the status was refused");
             },
         .stage = Stage::Reset,
         .alive = true},
        {.rule = "all status bits at once, and no features",
         .section = "3.1.1",
         .targets = kDevices,
         .outcome = Outcome::Refused,
         .effect = "FEATURES_OK and DRIVER_OK stay clear",
         .act =
             [](Attack& a) {
                 a.expect(!a.driver().set_status(kRunning), "the status was taken");
                 a.expect(a.driver().status() == (ACKNOWLEDGE | DRIVER), "another status than documented");
             },
         .stage = Stage::Reset},
        {.rule = "DRIVER_OK is written again",
         .section = "3.1.1",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "nothing changes",
         .act = [](Attack& a) { a.expect(a.driver().set_status(kRunning), "it was refused"); }},
        {.rule = "DRIVER_OK is cleared by a write",
         .section = "2.1.1",
         .targets = kDevices,
         .outcome = Outcome::Refused,
         .effect = "the bit stays set",
         .act = cleared_bits(ACKNOWLEDGE | DRIVER | FEATURES_OK)},
        {.rule = "FEATURES_OK is cleared by a write",
         .section = "2.1.1",
         .targets = kDevices,
         .outcome = Outcome::Refused,
         .effect = "the bit stays set",
         .act = cleared_bits(ACKNOWLEDGE | DRIVER | DRIVER_OK)},
        {.rule = "ACKNOWLEDGE and DRIVER are cleared by a write",
         .section = "2.1.1",
         .targets = kDevices,
         .outcome = Outcome::Refused,
         .effect = "the bits stay set",
         .act = cleared_bits(FEATURES_OK | DRIVER_OK)},
        {.rule = "status bits that do not exist (16, 32)",
         .section = "2.1",
         .targets = kDevices,
         .outcome = Outcome::Refused,
         .effect = "they read as zero",
         .act =
             [](Attack& a) {
                 (void)a.driver().set_status(kRunning | 16 | 32);
                 a.expect(a.driver().status() == kRunning, "the status has changed");
             }},
        {.rule = "the driver writes DEVICE_NEEDS_RESET",
         .section = "2.1.1",
         .targets = kDevices,
         .outcome = Outcome::Refused,
         .effect = "the bit is the device's",
         .act =
             [](Attack& a) {
                 (void)a.driver().set_status(kRunning | DEVICE_NEEDS_RESET);
                 a.expect(a.driver().status() == kRunning, "the status has changed");
             }},
        {.rule = "FAILED, and the driver goes on all the same",
         .section = "2.1",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "the bit is kept",
         .act =
             [](Attack& a) {
                 a.expect(a.driver().set_status(kRunning | FAILED), "FAILED was refused");
                 a.expect(a.driver().status() == (kRunning | FAILED), "FAILED is not set");
             }},

        // ---- features
        {.rule = "VIRTIO_F_VERSION_1 is not accepted",
         .section = "6.1",
         .targets = kDevices,
         .outcome = Outcome::Refused,
         .effect = "FEATURES_OK stays clear",
         .act = refused_features(0, feature(VIRTIO_F_VERSION_1)),
         .stage = Stage::Driver,
         .alive = true},
        {.rule = "all 64 features are accepted",
         .section = "2.2.1",
         .targets = kDevices,
         .outcome = Outcome::Refused,
         .effect = "FEATURES_OK stays clear",
         .act = refused_features(~std::uint64_t{0}),
         .stage = Stage::Driver,
         .alive = true},
        {.rule = "features are changed after FEATURES_OK",
         .section = "3.1.1",
         .targets = kDevices,
         .outcome = Outcome::Refused,
         .effect = "those that were negotiated stay",
         .act =
             [](Attack& a) {
                 a.driver().accept(0);
                 a.driver().accept(~std::uint64_t{0});
                 a.expect(a.victim().core().driver_features() == a.victim().wanted_features(),
                          "features have changed");
                 a.expect(a.victim().go_on(Stage::Negotiated, Stage::Live), "the rest was not taken");
             },
         .stage = Stage::Negotiated,
         .alive = true},
        {.rule = "features are changed while the device runs",
         .section = "3.1.1",
         .targets = kDevices,
         .outcome = Outcome::Refused,
         .effect = "those that were negotiated stay",
         .act =
             [](Attack& a) {
                 a.driver().accept(0);
                 (void)a.driver().set_status(kRunning);
                 a.expect(a.victim().core().driver_features() == a.victim().wanted_features(),
                          "features have changed");
             }},
        {.rule = "words of features that do not exist (2 and 255)",
         .section = "4.1.4.3, 4.3.2.3",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "they read as zeros and are ignored when written",
         .act =
             [](Attack& a) {
                 for (const std::uint32_t word : {2u, 255u}) {
                     a.expect(a.driver().offered_word(word) == 0, "features are offered there");
                     a.driver().accept_word(word, 0xffffffff);
                 }
                 a.expect(a.victim().go_on(Stage::Driver, Stage::Live), "the rest was not taken");
             },
         .stage = Stage::Driver,
         .alive = true},

        // ---- doorbells
        {.rule = "a doorbell before DRIVER_OK",
         .section = "3.1.1",
         .targets = kQueues,
         .outcome = Outcome::Harmless,
         .effect = "nothing is served before DRIVER_OK, and the request after it",
         .act =
             [](Attack& a) {
                 (void)a.offer(a.good_chain());
                 a.kick();
                 a.expect(a.ring().used_index() == 0, "a request was used before DRIVER_OK");
                 a.expect(a.victim().go_on(Stage::QueuesSet, Stage::Live), "DRIVER_OK was refused");
                 a.expect_used();
             },
         .stage = Stage::QueuesSet,
         .alive = true},
        {.rule = "doorbells of queues that do not exist",
         .section = "4.1.5.2, 4.3.3.2.1",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "they are ignored",
         .act =
             [](Attack& a) {
                 for (const std::uint16_t queue :
                      {a.victim().queue_count(), std::uint16_t{64}, std::uint16_t{0x3ff}})
                     a.kick(queue);
             }},
        {.rule = "doorbells without anything new, 300 times",
         .section = "2.3",
         .targets = kQueues,
         .outcome = Outcome::Harmless,
         .effect = "nothing happens",
         .act =
             [](Attack& a) {
                 for (int i = 0; i < 300; ++i)
                     a.driver().notify(a.queue());
                 a.expect(a.ring().used_index() == 0, "something was used");
             }},

        // ---- configuration space
        {.rule = "configuration is read beyond its end",
         .section = "2.5",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "zeros",
         .act =
             [](Attack& a) {
                 const std::uint32_t length = a.victim().core().traits().config_length;
                 for (const std::uint32_t offset : {length, length + 1, 0xff0u})
                     a.expect(a.driver().read_config(offset, 8) == Bytes(8), "there is something");
             }},
        {.rule = "configuration is written beyond its end",
         .section = "2.5",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "it is ignored",
         .act =
             [](Attack& a) {
                 const Bytes before = all_config(a);
                 a.driver().write_config(static_cast<std::uint32_t>(before.size()),
                                         Bytes(8, std::byte{0xff}));
                 a.expect(all_config(a) == before, "the configuration has changed");
             }},
        {.rule = "fields of the configuration are written that are the device's",
         .section = "5.1.4, 5.2.4",
         .targets = kConfigured,
         .outcome = Outcome::Harmless,
         .effect = "it is ignored",
         .act =
             [](Attack& a) {
                 const Bytes before = all_config(a);
                 a.driver().write_config(0, Bytes(8, std::byte{0xff}));
                 a.expect(all_config(a) == before, "the configuration has changed");
             }},
        {.rule = "configuration is written before ACKNOWLEDGE",
         .section = "3.1.1",
         .targets = kConfigured,
         .outcome = Outcome::Harmless,
         .effect = "it is ignored",
         .act =
             [](Attack& a) {
                 const Bytes before = all_config(a);
                 a.driver().write_config(0, Bytes(before.size(), std::byte{0xff}));
                 a.expect(all_config(a) == before, "the configuration has changed");
                 a.expect(a.victim().go_on(Stage::Reset, Stage::Live), "the rest was not taken");
             },
         .stage = Stage::Reset,
         .alive = true},

        // ---- resets
        {.rule = "a reset while requests are in flight",
         .section = "2.4.1",
         .targets = kQueues,
         .outcome = Outcome::Harmless,
         .effect = "status reads as 0 when the device has let go of all memory",
         .act =
             [](Attack& a) {
                 for (int i = 0; i < 2; ++i)
                     (void)a.offer(a.good_chain());
                 a.seal();
                 a.driver().notify(a.queue());
                 a.expect(a.driver().set_status(0) && a.driver().status() == 0, "the status is not 0");
                 const Bytes before = guest_bytes(a);
                 if (a.target().kind == Kind::Net)
                     a.victim().wire().send(frame_to(kTestMac, 60));
                 a.settle();
                 a.expect(guest_bytes(a) == before, "memory was written after the reset");
             },
         .alive = false},
        {.rule = "requests and resets in turn, 30 times",
         .section = "2.4",
         .targets = kQueues,
         .outcome = Outcome::Harmless,
         .effect = "each reset is a reset, the last set-up works",
         .act =
             [](Attack& a) {
                 for (int i = 0; i < 30; ++i) {
                     (void)a.offer(a.good_chain());
                     a.driver().notify(a.queue());
                     a.expect(a.victim().set_up(Stage::Live), "set-up was refused");
                 }
                 a.seal();
             }},
        {.rule = "100 resets in a row",
         .section = "2.4",
         .targets = kDevices,
         .outcome = Outcome::Harmless,
         .effect = "the status reads as 0",
         .act =
             [](Attack& a) {
                 for (int i = 0; i < 100; ++i)
                     a.expect(a.driver().set_status(0), "a reset was refused");
                 a.expect(a.driver().status() == 0, "the status is not 0");
             },
         .alive = false},
    };
    for (const FeatureCase& one : kNeverOffered)
        cases.push_back({.rule = fmt::format("{} is accepted, which is not offered", one.name),
                         .section = "2.2.1",
                         .targets = kDevices,
                         .outcome = Outcome::Refused,
                         .effect = "FEATURES_OK stays clear",
                         .act = refused_features(feature(one.bit)),
                         .stage = Stage::Driver,
                         .alive = true});
    return cases;
}

} // namespace godwit::hostile
