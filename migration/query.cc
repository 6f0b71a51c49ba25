// SPDX-License-Identifier: Apache-2.0
#include "migration/query.h"

#include "vmm/base/log.h"

namespace godwit::migration {

namespace {

using namespace std::chrono_literals;

// How long the answer waits for a guest that is being started or thrown away just now; the source asks again.
constexpr auto kSettleLimit = 5s;
constexpr auto kPatience = 2s;

log::RateLimit questions; // whoever reaches the port may ask

} // namespace

Reply ask(Channel& channel, const MigrationId& id) {
    AskerSession session{channel};
    if (auto sent = session.send(Message::Query, encode_id(id)); !sent.ok())
        return {CustodyStep::Silence, {}, std::move(sent).error()};
    auto answer = session.receive();
    switch (session.state()) {
    case AskerState::Never: // its reason comes as an error
        return {CustodyStep::Relinquish, {}, std::move(answer).error()};
    case AskerState::Runs:
        if (const auto running = decode_running(answer.value().body); running.ok() && running->id == id)
            return {.says = CustodyStep::Running, .take_over = running->take_over};
        return {.why = error(ErrorCode::Protocol, "the answer is about another guest")};
    case AskerState::Unknown:
        return {CustodyStep::Unknown,
                {},
                error(ErrorCode::InDoubt, "whoever listens at {} knows nothing of this migration",
                      channel.peer())};
    default:
        return {CustodyStep::Silence, {}, std::move(answer).error()};
    }
}

void answer_query(Connection connection, Ledger& ledger) {
    Channel& channel = *connection.channel;
    AnswererSession session{std::move(connection.link), std::move(connection.first)};
    const auto query = session.expect(Message::Query);
    const auto id = query.ok() ? decode_id(*query) : Result<MigrationId>{query.error()};
    channel.set_timeout(kPatience);
    if (!id.ok()) {
        questions.warning("{} asks, and it cannot be read: {}", channel.peer(), id.error().text);
        return session.tell(id.error(), kPatience);
    }
    const auto answer = ledger.ask(*id, kSettleLimit);
    if (!answer) // not decided: the connection closes without an answer
        return channel.close();
    if (answer->message == Message::Unknown) // who asks may be anybody
        questions.warning("{} asks for a guest of which nothing is known here", channel.peer());
    else
        log::info("the source at {} asks who has its guest: {}", channel.peer(),
                  answer->message == Message::Running ? "it runs here" : "it never ran here and never will");
    if (const auto sent = session.send(answer->message, answer->body); !sent.ok())
        return questions.warning("the answer did not reach the source: {}", sent.error().text);
    channel.finish_writing();
    (void)channel.readable(kPatience); // until the source has read it
    channel.close();
}

} // namespace godwit::migration
