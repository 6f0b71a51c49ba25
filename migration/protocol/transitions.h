// SPDX-License-Identifier: Apache-2.0
//
// The protocol as tables: in which state which message may be sent or received, and the state after it; two
// for the sides of a migration, two for the sides of the question that a source in doubt asks. The code takes
// every step through them; what is not here is a protocol error. Constants.
#pragma once

#include "migration/protocol/message.h"

#include <array>
#include <optional>
#include <span>
#include <string_view>

namespace godwit::migration {

enum class Step : std::uint8_t { Send, Receive };

template <class State>
struct Transition {
    State from;
    Step step;
    Message message;
    State to;
};

enum class SourceState : std::uint8_t {
    Connected,
    Greeted,   // waits for the answer to HELLO
    Live,      // the guest runs and its pages are sent
    RoundSent, // waits for the acknowledgement
    Final,     // the guest is paused and its last pages are sent
    RamSent,
    StateSent,  // waits for READY
    Prepared,   // the last state from which the source may resume the guest by itself
    Committed,  // the guest is not ours; waits for RUNNING
    HandedOver, // end: the destination runs it
    Returned,   // end: the destination never will; the source resumes
    Failed,     // end, before COMMIT: the source resumes
    Checked,    // end: nothing was to move
};

enum class DestinationState : std::uint8_t {
    Connected,
    Greeted, // HELLO is here and must be answered
    Live,
    RoundReceived, // must be acknowledged
    Final,
    RamReceived,
    StateReceived, // loads and applies it
    Prepared,      // READY is sent; the guest does not run
    Committed,     // runs the guest now
    Running,       // end
    Relinquished,  // end: the guest never ran here
    Failed,        // end: the guest never ran here
    Checked,       // end: nothing was to move
};

// On a connection of its own, as often as it needs.
enum class AskerState : std::uint8_t {
    Connected,
    Asked,   // waits for the answer
    Runs,    // end: the destination has the guest
    Never,   // end: the destination does not have it and never will
    Unknown, // end: whoever answered knows nothing of it
    Failed,  // end: no answer
};

enum class AnswererState : std::uint8_t {
    Connected,
    Asked,    // QUERY is here and must be answered
    Answered, // end
    Failed,   // end
};

constexpr auto source_transitions() {
    using enum SourceState;
    using enum Step;
    using T = Transition<SourceState>;
    return std::array{
        T{Connected, Send, Message::Hello, Greeted},
        T{Greeted, Receive, Message::HelloReply, Live},
        T{Greeted, Receive, Message::Refuse, Failed},
        T{Greeted, Receive, Message::CheckReport, Checked},
        T{Live, Send, Message::Boot, Live},
        T{Live, Send, Message::Ram, Live},
        T{Live, Send, Message::RamPacked, Live},
        T{Live, Send, Message::RamZero, Live},
        T{Live, Send, Message::RoundEnd, RoundSent},
        T{RoundSent, Receive, Message::RoundAck, Live},
        T{Live, Send, Message::FinalRound, Final},
        T{Final, Send, Message::Ram, Final},
        T{Final, Send, Message::RamPacked, Final},
        T{Final, Send, Message::RamZero, Final},
        T{Final, Send, Message::RoundEnd, RamSent},
        T{RamSent, Send, Message::Verify, RamSent},
        T{RamSent, Send, Message::State, StateSent},
        T{StateSent, Receive, Message::Ready, Prepared},
        T{Prepared, Send, Message::Commit, Committed},
        T{Committed, Receive, Message::Running, HandedOver},
        T{Committed, Receive, Message::Relinquish, Returned},
        // A destination that has COMMIT says RUNNING or RELINQUISH. An ERROR was sent before it came, and who
        // sent that never runs the guest.
        T{Committed, Receive, Message::Error, Returned},
        // Until COMMIT either side may give up.
        T{Connected, Send, Message::Error, Failed},
        T{Connected, Receive, Message::Error, Failed},
        T{Greeted, Send, Message::Error, Failed},
        T{Greeted, Receive, Message::Error, Failed},
        T{Live, Send, Message::Error, Failed},
        T{Live, Receive, Message::Error, Failed},
        T{RoundSent, Send, Message::Error, Failed},
        T{RoundSent, Receive, Message::Error, Failed},
        T{Final, Send, Message::Error, Failed},
        T{Final, Receive, Message::Error, Failed},
        T{RamSent, Send, Message::Error, Failed},
        T{RamSent, Receive, Message::Error, Failed},
        T{StateSent, Send, Message::Error, Failed},
        T{StateSent, Receive, Message::Error, Failed},
        T{Prepared, Send, Message::Error, Failed},
        T{Prepared, Receive, Message::Error, Failed},
    };
}

constexpr auto destination_transitions() {
    using enum DestinationState;
    using enum Step;
    using T = Transition<DestinationState>;
    return std::array{
        T{Connected, Receive, Message::Hello, Greeted},
        T{Greeted, Send, Message::HelloReply, Live},
        T{Greeted, Send, Message::Refuse, Failed},
        T{Greeted, Send, Message::CheckReport, Checked},
        T{Live, Receive, Message::Boot, Live},
        T{Live, Receive, Message::Ram, Live},
        T{Live, Receive, Message::RamPacked, Live},
        T{Live, Receive, Message::RamZero, Live},
        T{Live, Receive, Message::RoundEnd, RoundReceived},
        T{RoundReceived, Send, Message::RoundAck, Live},
        T{Live, Receive, Message::FinalRound, Final},
        T{Final, Receive, Message::Ram, Final},
        T{Final, Receive, Message::RamPacked, Final},
        T{Final, Receive, Message::RamZero, Final},
        T{Final, Receive, Message::RoundEnd, RamReceived},
        T{RamReceived, Receive, Message::Verify, RamReceived},
        T{RamReceived, Receive, Message::State, StateReceived},
        T{StateReceived, Send, Message::Ready, Prepared},
        T{Prepared, Receive, Message::Commit, Committed},
        T{Committed, Send, Message::Running, Running},
        T{Committed, Send, Message::Relinquish, Relinquished},
        // Until COMMIT either side may give up.
        T{Connected, Send, Message::Error, Failed},
        T{Connected, Receive, Message::Error, Failed},
        T{Greeted, Send, Message::Error, Failed},
        T{Live, Send, Message::Error, Failed},
        T{Live, Receive, Message::Error, Failed},
        T{RoundReceived, Send, Message::Error, Failed},
        T{Final, Send, Message::Error, Failed},
        T{Final, Receive, Message::Error, Failed},
        T{RamReceived, Send, Message::Error, Failed},
        T{RamReceived, Receive, Message::Error, Failed},
        T{StateReceived, Send, Message::Error, Failed},
        T{Prepared, Send, Message::Error, Failed},
        T{Prepared, Receive, Message::Error, Failed},
    };
}

constexpr auto asker_transitions() {
    using enum AskerState;
    using enum Step;
    using T = Transition<AskerState>;
    return std::array{
        T{Connected, Send, Message::Query, Asked},
        T{Asked, Receive, Message::Running, Runs},
        T{Asked, Receive, Message::Relinquish, Never},
        T{Asked, Receive, Message::Unknown, AskerState::Unknown},
        T{Connected, Receive, Message::Error, Failed},
        T{Asked, Receive, Message::Error, Failed},
    };
}

constexpr auto answerer_transitions() {
    using enum AnswererState;
    using enum Step;
    using T = Transition<AnswererState>;
    return std::array{
        T{Connected, Receive, Message::Query, Asked},  T{Asked, Send, Message::Running, Answered},
        T{Asked, Send, Message::Relinquish, Answered}, T{Asked, Send, Message::Unknown, Answered},
        T{Asked, Send, Message::Error, Failed},
    };
}

inline constexpr auto kSourceTransitions = source_transitions();
inline constexpr auto kDestinationTransitions = destination_transitions();
inline constexpr auto kAskerTransitions = asker_transitions();
inline constexpr auto kAnswererTransitions = answerer_transitions();

template <class State>
constexpr std::span<const Transition<State>> transitions_of() {
    if constexpr (std::is_same_v<State, SourceState>)
        return kSourceTransitions;
    else if constexpr (std::is_same_v<State, DestinationState>)
        return kDestinationTransitions;
    else if constexpr (std::is_same_v<State, AskerState>)
        return kAskerTransitions;
    else
        return kAnswererTransitions;
}

// The state after a step, or nothing when the step is not allowed.
template <class State>
constexpr std::optional<State> next_state(State from, Step step, Message message) {
    for (const Transition<State>& transition : transitions_of<State>())
        if (transition.from == from && transition.step == step && transition.message == message)
            return transition.to;
    return std::nullopt;
}

std::string_view to_string(SourceState state);
std::string_view to_string(DestinationState state);
std::string_view to_string(AskerState state);
std::string_view to_string(AnswererState state);

} // namespace godwit::migration
