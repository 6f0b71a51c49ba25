// SPDX-License-Identifier: Apache-2.0
//
// A pacer between its state and its work: made from the state when the guest goes on, put back after each
// step.
#pragma once

#include "guest-tests/guest/base/pacer.h"
#include "guest-tests/plain/state.h"

namespace godwit::plain {

inline void restore(guest::Pacer& pacer, const PaceState& state, std::uint64_t rate) {
    pacer.begin(rate, state.since);
    pacer.did(state.done);
}

inline void keep(const guest::Pacer& pacer, PaceState& state) {
    state = {true, pacer.since(), pacer.done()};
}

// The first time only: what is due counts from now on.
inline void begin(guest::Pacer& pacer, PaceState& state, std::uint64_t rate, std::uint64_t now) {
    if (state.begun)
        return;
    pacer.begin(rate, now);
    keep(pacer, state);
}

} // namespace godwit::plain
