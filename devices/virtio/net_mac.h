// SPDX-License-Identifier: Apache-2.0
//
// Ethernet addresses as text, and the default address of a device that was given none. Any thread.
#pragma once

#include "devices/virtio/net_spec.h"
#include "vmm/base/result.h"

#include <string>
#include <string_view>

namespace godwit::virtio {

// "52:54:00:12:34:56", hex digits in either case. Refuses what cannot be the address of one station: a group
// address or all zeros.
Result<MacAddress> parse_mac(std::string_view text);
std::string format_mac(const MacAddress& mac);

// Locally administered, and the same for the same text: what tells one interface of one guest of one host
// from all others, so that a restarted guest finds its own interface again and no two guests share an
// address.
MacAddress default_mac(std::string_view identity);

// Group addresses (multicast, broadcast) have the lowest bit of the first byte set.
constexpr bool is_group(const MacAddress& mac) {
    return (mac[0] & 1) != 0;
}

} // namespace godwit::virtio
