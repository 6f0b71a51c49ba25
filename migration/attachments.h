// SPDX-License-Identifier: Apache-2.0
//
// Where the further connections of the migration that is under way come in: between whoever accepts
// connections and whoever receives. Any thread.
#pragma once

#include "migration/ram/incoming_links.h"
#include "migration/reception.h"

#include <memory>
#include <mutex>
#include <optional>

namespace godwit::migration {

class Attachments {
  public:
    // From now on connections for this migration are let in. `links` must stay until close().
    void open(const MigrationId& id, IncomingLinks& links);
    void close();

    // A connection whose first frame is ATTACH. An error leaves it with the caller.
    Status attach(Connection& connection);

  private:
    struct Open {
        MigrationId id;
        IncomingLinks& links;
    };

    std::mutex mutex_;
    std::optional<Open> open_; // under mutex_
};

// Destination: the route of ATTACH.
void answer_attach(Connection connection, Attachments& attachments);

} // namespace godwit::migration
