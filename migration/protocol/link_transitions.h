// SPDX-License-Identifier: Apache-2.0
//
// What is said on a connection that a migration has besides its first one: RAM, and nothing else. Rounds are
// acknowledged, and reasons told, on the first one only. Constants.
#pragma once

#include "migration/protocol/transitions.h"

namespace godwit::migration {

enum class LinkSourceState : std::uint8_t {
    Connected,
    Live,  // the guest runs
    Final, // the guest is paused and the last pages are sent
    Done,  // end
    Failed // end: the destination does not want this connection
};

enum class LinkDestinationState : std::uint8_t {
    Connected,
    Live, // between two rounds too: who owns the connection does not read until the round may begin
    Final,
    Done,  // end
    Failed // end
};

constexpr auto link_source_transitions() {
    using enum LinkSourceState;
    using enum Step;
    using T = Transition<LinkSourceState>;
    return std::array{
        T{Connected, Send, Message::Attach, Live}, T{Live, Send, Message::Ram, Live},
        T{Live, Send, Message::RamPacked, Live},   T{Live, Send, Message::RamZero, Live},
        T{Live, Send, Message::RoundEnd, Live},    T{Live, Send, Message::FinalRound, Final},
        T{Final, Send, Message::Ram, Final},       T{Final, Send, Message::RamPacked, Final},
        T{Final, Send, Message::RamZero, Final},   T{Final, Send, Message::RoundEnd, Done},
        T{Live, Receive, Message::Error, Failed},  T{Final, Receive, Message::Error, Failed},
        T{Done, Receive, Message::Error, Failed},
    };
}

constexpr auto link_destination_transitions() {
    using enum LinkDestinationState;
    using enum Step;
    using T = Transition<LinkDestinationState>;
    return std::array{
        T{Connected, Receive, Message::Attach, Live}, T{Live, Receive, Message::Ram, Live},
        T{Live, Receive, Message::RamPacked, Live},   T{Live, Receive, Message::RamZero, Live},
        T{Live, Receive, Message::RoundEnd, Live},    T{Live, Receive, Message::FinalRound, Final},
        T{Final, Receive, Message::Ram, Final},       T{Final, Receive, Message::RamPacked, Final},
        T{Final, Receive, Message::RamZero, Final},   T{Final, Receive, Message::RoundEnd, Done},
        T{Connected, Send, Message::Error, Failed},   T{Live, Send, Message::Error, Failed},
    };
}

inline constexpr auto kLinkSourceTransitions = link_source_transitions();
inline constexpr auto kLinkDestinationTransitions = link_destination_transitions();

template <>
constexpr std::span<const Transition<LinkSourceState>> transitions_of<LinkSourceState>() {
    return kLinkSourceTransitions;
}
template <>
constexpr std::span<const Transition<LinkDestinationState>> transitions_of<LinkDestinationState>() {
    return kLinkDestinationTransitions;
}

constexpr std::string_view to_string(LinkSourceState state) {
    constexpr std::string_view kNames[] = {"connected", "live", "final", "done", "failed"};
    return kNames[static_cast<std::size_t>(state)];
}
constexpr std::string_view to_string(LinkDestinationState state) {
    constexpr std::string_view kNames[] = {"connected", "live", "final", "done", "failed"};
    return kNames[static_cast<std::size_t>(state)];
}

} // namespace godwit::migration
