// SPDX-License-Identifier: Apache-2.0
//
// Device configuration space in the byte order of a big-endian legacy driver (virtio 1.2 section 2.5.3).
// Pure; loop thread.
#pragma once

#include "devices/virtio/device.h"

#include <cstddef>
#include <span>
#include <vector>

namespace godwit::virtio {

// Turns each field round, in place; one that is not there as a whole stays as it is.
void swap_config(std::span<const std::uint8_t> widths, std::span<std::byte> config);

// All of the device's configuration space, turned round.
std::vector<std::byte> driver_order_config(Device& device);

} // namespace godwit::virtio
