// SPDX-License-Identifier: Apache-2.0
#include "migration/attachments.h"

#include "vmm/base/log.h"

namespace godwit::migration {

void Attachments::open(const MigrationId& id, IncomingLinks& links) {
    const std::lock_guard lock{mutex_};
    open_.emplace(Open{id, links});
}

void Attachments::close() {
    const std::lock_guard lock{mutex_};
    open_.reset();
}

Status Attachments::attach(Connection& connection) {
    const Attach attach = TRY(decode_attach(connection.first.body));
    const std::lock_guard lock{mutex_};
    // An id is random and known to the two sides only.
    if (!open_.has_value() || open_->id != attach.id)
        return error(ErrorCode::Protocol, "a connection for a migration that is not under way here");
    return open_->links.attach(attach.index, connection);
}

void answer_attach(Connection connection, Attachments& attachments) {
    // Anybody can provoke it.
    static log::RateLimit refusals;
    if (const auto attached = attachments.attach(connection); !attached.ok()) {
        refusals.warning("a connection from {} was refused: {}", connection.channel->peer(),
                         attached.error().text);
        refuse(std::move(connection), attached.error());
    }
}

} // namespace godwit::migration
