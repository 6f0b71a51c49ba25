// SPDX-License-Identifier: Apache-2.0
#include "migration/channel/connector.h"

#include "migration/channel/socket_channel.h"
#include "migration/channel/tls_channel.h"

namespace godwit::migration {

Result<std::unique_ptr<Channel>> Connector::connect(const Cancel* cancel) const {
    auto channel = TRY(SocketChannel::connect(address, limit, cancel));
    if (tls == nullptr)
        return channel;
    channel->set_cancel(cancel);
    return TlsChannel::start(std::move(channel), tls, address.host, limit);
}

} // namespace godwit::migration
