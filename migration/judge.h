// SPDX-License-Identifier: Apache-2.0
//
// The destination's answer to a HELLO, before anything moves: what it is for, and everything that does not
// fit. Changes nothing. Thread: the migration's.
#pragma once

#include "migration/machine_port.h"
#include "migration/preflight/difference.h"
#include "migration/protocol/payloads.h"

namespace godwit::migration {

struct Judgement {
    Purpose purpose = Purpose::Move;
    Differences differences; // the guest may come if none of them refuses
    Hello reply;             // with the source's id
    MachineDescription guest;
};

// An error is a HELLO that cannot be read; one of another protocol version can, as a difference.
// `accepted` are codes of reasons that the operator knows of.
Result<Judgement> judge(MachinePort& port, std::span<const std::byte> hello,
                        std::span<const std::string> accepted = {});

} // namespace godwit::migration
