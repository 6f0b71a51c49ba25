// SPDX-License-Identifier: Apache-2.0
//
// Looking up a host's addresses without being held up by a name server that does not answer. Any thread.
#pragma once

#include "migration/channel/address.h"
#include "migration/channel/cancel.h"

#include <chrono>
#include <memory>
#include <netdb.h>

namespace godwit::migration {

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

// The addresses to connect to. Ends on a cancel, and after `timeout`; a look-up that hangs is left to itself.
Result<AddressList> look_up(const Address& address, std::chrono::milliseconds timeout, const Cancel* cancel);

} // namespace godwit::migration
