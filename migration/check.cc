// SPDX-License-Identifier: Apache-2.0
#include "migration/check.h"

#include "migration/protocol/session.h"

namespace godwit::migration {

namespace {

Result<Differences> ask(MachinePort& port, SourceSession& session) {
    TRY(session.send(Message::Hello,
                     encode(Hello{kProtocolVersion, kKnowsWeights, {}, Purpose::Check, port.describe()})));
    const auto report = session.expect(Message::CheckReport);
    if (!report.ok() && !session.refusal().empty())
        return session.refusal(); // a destination of another version refuses before it knows the purpose
    if (!report.ok())
        return report.error();
    return decode_differences(report.value());
}

} // namespace

Result<Differences> check(MachinePort& port, Channel& channel, std::chrono::milliseconds timeout,
                          const Cancel* cancel) {
    channel.set_timeout(timeout);
    channel.set_cancel(cancel);
    SourceSession session{channel};
    auto answer = ask(port, session);
    channel.close();
    return answer;
}

} // namespace godwit::migration
