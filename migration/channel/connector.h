// SPDX-License-Identifier: Apache-2.0
//
// How to reach one destination, as often as it takes: the first connection of a migration, those that carry
// RAM beside it, and the ones on which a source in doubt asks. A value; connect() from any thread.
#pragma once

#include "migration/channel/address.h"
#include "migration/channel/channel.h"
#include "migration/channel/tls_credentials.h"

namespace godwit::migration {

struct Connector {
    Address address;
    std::shared_ptr<const TlsCredentials> tls; // null: in the open
    std::chrono::milliseconds limit{10'000};   // for the connection, and again for the handshake

    Result<std::unique_ptr<Channel>> connect(const Cancel* cancel) const;
};

} // namespace godwit::migration
