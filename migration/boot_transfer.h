// SPDX-License-Identifier: Apache-2.0
//
// What a guest is booted with on its way between two godwits: BOOT messages, after the answer to HELLO and
// before the first round, in the order kernel, initrd, command line. Thread: the migration's.
#pragma once

#include "migration/boot/boot_source.h"
#include "migration/protocol/session.h"
#include "migration/ram/rate_limit.h"

namespace godwit::migration {

// `limit` may be null.
Status send_boot(SourceSession& session, const BootSource& source, RateLimit* limit);

// All of it, into memory of its own. Neither kernel nor initrd may be larger than the guest's RAM.
Result<BootSourcePtr> receive_boot(DestinationSession& session, std::uint64_t ram_size);

} // namespace godwit::migration
