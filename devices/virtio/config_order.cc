// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/config_order.h"

#include <algorithm>

namespace godwit::virtio {

void swap_config(std::span<const std::uint8_t> widths, std::span<std::byte> config) {
    std::size_t at = 0;
    for (const std::size_t width : widths) {
        if (config.size() - at < width)
            return;
        std::ranges::reverse(config.subspan(at, width));
        at += width;
    }
}

std::vector<std::byte> driver_order_config(Device& device) {
    std::vector<std::byte> config(device.traits().config_length);
    device.read_config(0, config);
    swap_config(device.traits().config_fields, config);
    return config;
}

} // namespace godwit::virtio
