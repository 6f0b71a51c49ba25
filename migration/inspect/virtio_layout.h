// SPDX-License-Identifier: Apache-2.0
//
// The payload of a virtio device, which a QEMU describes as one field: virtio_save() of hw/virtio/virtio.c
// with the parts of virtio-pci and virtio-mmio, and of the network and block devices, QEMU 7.2. Fields have
// the names that godwit's own description gives them, so that files of both can be compared. Pure functions.
#pragma once

#include "migration/inspect/cursor.h"

#include <string_view>

namespace godwit::migration::inspect {

// Takes exactly `size` bytes, or fails: then nothing is known about them. `section` is the section's name,
// which tells the transport and the device.
Status walk_virtio(Cursor& in, std::string_view section, std::size_t size);

} // namespace godwit::migration::inspect
