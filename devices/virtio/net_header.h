// SPDX-License-Identifier: Apache-2.0
//
// The header that the driver puts before a frame it sends: checked before the host's network stack sees it.
// Virtio 1.2 section 5.1.6.2. Pure; any thread.
#pragma once

#include "devices/virtio/net_spec.h"
#include "vmm/base/result.h"

namespace godwit::virtio {

// Precondition: `header` is our own copy, which the driver cannot change. `frame_bytes` is what follows it.
// An error says why the frame must be dropped; the device goes on. Flags that a driver must not set are
// cleared, as section 5.1.6.2.1 wants unknown flags ignored.
Status check_transmit_header(virtio_net_hdr& header, std::size_t frame_bytes, std::uint64_t features);

} // namespace godwit::virtio
