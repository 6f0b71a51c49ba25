// SPDX-License-Identifier: Apache-2.0
//
// The commands of the control queue, section 5.1.6.5 of virtio 1.2, as changes of the device's state. Pure;
// loop thread.
#pragma once

#include "devices/virtio/net_state.h"

#include <span>

namespace godwit::virtio {

// Longest command that is looked at: address tables far beyond what is kept. Longer ones are answered with an
// error.
inline constexpr std::size_t kControlCommandLimit = 64 << 10;

// `command` is class, command and data: our own copy. Gives the status byte for the driver; the state has
// changed only with VIRTIO_NET_OK. `order` is that of the numbers in it. A command of a feature that was not
// negotiated, or with too few or too many bytes, is an error. The caller brings curr_guest_offloads to the
// backend.
std::uint8_t handle_control(NetState& state, std::uint64_t features, std::span<const std::byte> command,
                            DeviceEndian order = DeviceEndian::Little);

} // namespace godwit::virtio
