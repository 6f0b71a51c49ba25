// SPDX-License-Identifier: Apache-2.0
#include "migration/judge.h"

#include "migration/preflight/compare.h"
#include "migration/protocol/message.h"

#include <algorithm>

namespace godwit::migration {

Result<Judgement> judge(MachinePort& port, std::span<const std::byte> hello,
                        std::span<const std::string> accepted) {
    Judgement judgement;
    if (const auto version = TRY(hello_version(hello)); version != kProtocolVersion) {
        judgement.differences.push_back(difference(
            Reason::VersionProtocol, "version", {std::to_string(version), std::to_string(kProtocolVersion)}));
        return judgement;
    }
    Hello theirs = TRY(decode_hello(hello));
    judgement.purpose = theirs.purpose;
    judgement.reply = {kProtocolVersion, theirs.capabilities & kCapabilities,
                       theirs.id,        theirs.purpose,
                       port.describe(),  theirs.connections};
    const auto names = [&](std::uint16_t device, unsigned bit) { return port.feature_name(device, bit); };
    judgement.differences = compare_machines(theirs.machine, judgement.reply.machine, names);
    for (Difference& one :
         compare_host(theirs.machine, judgement.reply.machine, port.host_state(theirs.machine)))
        judgement.differences.push_back(std::move(one));
    accept(judgement.differences, accepted);
    for (const Difference& one : judgement.differences)
        if (one.weight == Weight::Accepted &&
            std::ranges::find(judgement.reply.accepted, one.code) == judgement.reply.accepted.end())
            judgement.reply.accepted.push_back(one.code);
    judgement.guest = std::move(theirs.machine);
    return judgement;
}

} // namespace godwit::migration
