// SPDX-License-Identifier: Apache-2.0
//
// One rule that a driver breaks, what must come of it, and where it is tried. The tables are in the files
// *_cases.cc.
#pragma once

#include "guest-tests/hostile/machine.h"

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::hostile {

class Attack;

// A queue of a device.
struct Target {
    std::string_view name;
    Kind kind;
    std::uint16_t queue;
};
inline constexpr Target kBlk{"blk", Kind::Blk, 0}, kNetRx{"net rx", Kind::Net, virtio::kNetReceiveQueue},
    kNetTx{"net tx", Kind::Net, virtio::kNetTransmitQueue},
    kNetCtrl{"net ctrl", Kind::Net, virtio::kNetControlQueue}, kRng{"rng", Kind::Rng, 0};
// Every kind of queue, and every device once.
inline constexpr Target kQueues[] = {kBlk, kNetRx, kNetTx, kNetCtrl, kRng};
inline constexpr Target kDevices[] = {kBlk, {"net", Kind::Net, 0}, kRng};
inline constexpr Target kOnlyBlk[] = {kBlk}, kOnlyTx[] = {kNetTx}, kOnlyRx[] = {kNetRx},
                        kOnlyCtrl[] = {kNetCtrl}, kOnlyRng[] = {kRng};

inline constexpr Transport kBoth[] = {Transport::Pci, Transport::Ccw};
inline constexpr Transport kOnlyPci[] = {Transport::Pci}, kOnlyCcw[] = {Transport::Ccw};

enum class Outcome {
    NeedsReset, // DEVICE_NEEDS_RESET, and nothing more is done until a reset
    Error,      // the request is used, with an error
    Refused,    // the register, command or operation has no effect, and says so
    Harmless,   // what `effect` says and nothing else
};

struct Case {
    std::string rule;    // what the driver does
    std::string section; // where that is forbidden or left open: of virtio 1.2, but for "PCI" and "PoO"
    std::span<const Target> targets;
    std::span<const Transport> transports = kBoth;
    Outcome outcome = Outcome::NeedsReset;
    std::string effect = {}; // more precisely; the act checks it
    std::function<void(Attack&)> act = {};

    Stage stage = Stage::Live; // in which the driver is before
    StationOptions options = {};
    std::optional<Outcome> on_ccw = {}; // where channel I/O has another answer
    // Whether good requests are served afterwards, without a reset. By default: from Live on unless it needs
    // a reset.
    std::optional<bool> alive = {};
    // The driver spoiled its ring behind the device's back: that is seen when the device is paused.
    bool broken_by_pause = false;
    // Where the device was moved to it is in the way of the other one, until it is set up anew.
    bool other_lost_by_move = false;
};

constexpr std::string_view to_string(Transport transport) {
    return transport == Transport::Pci ? "pci" : "ccw";
}
std::string_view to_string(Outcome outcome);
inline Outcome outcome_on(const Case& one, Transport transport) {
    return transport == Transport::Ccw ? one.on_ccw.value_or(one.outcome) : one.outcome;
}

} // namespace godwit::hostile
