// SPDX-License-Identifier: Apache-2.0
//
// Names of feature bits, for messages. Virtio 1.2 sections 5.1.3, 5.2.3 and 6. Threads: any.
#pragma once

#include <cstdint>
#include <string>

namespace godwit::virtio {

// "VIRTIO_NET_F_MQ (22)"; "feature bit 60" where the specification names none for this type of device.
std::string feature_name(std::uint16_t device_id, unsigned bit);

// All bits of `features` by name, with commas between.
std::string feature_names(std::uint16_t device_id, std::uint64_t features);

} // namespace godwit::virtio
