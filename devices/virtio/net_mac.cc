// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_mac.h"

#include <charconv>

namespace godwit::virtio {

Result<MacAddress> parse_mac(std::string_view text) {
    const auto refused = [&](std::string_view why) {
        return invalid_input("MAC address '{}': {}", text, why);
    };
    constexpr std::size_t kLength = 17; // six pairs and five colons
    if (text.size() != kLength)
        return refused("expected six pairs of hex digits, as in 52:54:00:12:34:56");
    MacAddress mac{};
    for (std::size_t i = 0; i < mac.size(); ++i) {
        const char* const pair = text.data() + 3 * i;
        const auto [end, code] = std::from_chars(pair, pair + 2, mac[i], 16);
        if (code != std::errc{} || end != pair + 2 || (i != 0 && pair[-1] != ':'))
            return refused("expected six pairs of hex digits, as in 52:54:00:12:34:56");
    }
    if (is_group(mac))
        return refused("this is a group address");
    if (mac == MacAddress{})
        return refused("all zeros is not an address");
    return mac;
}

std::string format_mac(const MacAddress& mac) {
    return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4],
                       mac[5]);
}

MacAddress default_mac(std::string_view identity) {
    std::uint64_t hash = 0xcbf29ce484222325; // FNV-1a
    for (const char c : identity)
        hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
    hash ^= hash >> 32; // the last bytes of the text have not reached the low bits' neighbours yet
    hash *= 0x9e3779b97f4a7c15;
    hash ^= hash >> 29;
    MacAddress mac{};
    for (std::size_t i = 0; i < mac.size(); ++i)
        mac[i] = static_cast<std::uint8_t>(hash >> (8 * i));
    mac[0] = static_cast<std::uint8_t>((mac[0] & 0xfc) | 0x02); // locally administered, one station
    return mac;
}

} // namespace godwit::virtio
