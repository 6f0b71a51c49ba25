// SPDX-License-Identifier: Apache-2.0
//
// Which received frames the guest wants to see. Virtio 1.2 sections 5.1.6.5.1 (modes and address table) and
// 5.1.6.5.3 (VLANs). Pure; any thread.
#pragma once

#include "devices/virtio/net_state.h"

#include <span>

namespace godwit::virtio {

// `head` is the beginning of the frame: its Ethernet header, and the VLAN tag when the frame has one. Frames
// too short for a header are not wanted.
bool frame_wanted(const NetState& state, std::span<const std::byte> head);

} // namespace godwit::virtio
