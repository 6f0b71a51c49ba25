// SPDX-License-Identifier: Apache-2.0
#include "migration/channel/address.h"

#include <charconv>
#include <sys/un.h>

namespace godwit::migration {

namespace {

template <class T>
bool parse_number(std::string_view text, T& number) {
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    return failure == std::errc{} && end == text.data() + text.size() && !text.empty();
}

Result<Address> parse_tcp(std::string_view rest, std::string_view whole) {
    const std::size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos)
        return invalid_input("address '{}' has no port: tcp:HOST:PORT is wanted", whole);
    std::string_view host = rest.substr(0, colon);
    const std::string_view port = rest.substr(colon + 1);
    Address address;
    if (!parse_number(port, address.port))
        return invalid_input("address '{}': '{}' is not a port (0 to 65535)", whole, port);
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    else if (host.find_first_of("[]:") != std::string_view::npos)
        return invalid_input("address '{}': an IPv6 address is written in brackets, tcp:[::1]:PORT", whole);
    address.host = host;
    return address;
}

} // namespace

Result<Address> Address::parse(std::string_view text) {
    if (text.starts_with("tcp:"))
        return parse_tcp(text.substr(4), text);
    Address address;
    if (text.starts_with("unix:")) {
        address.kind = Kind::Unix;
        address.path = text.substr(5);
        if (address.path.empty())
            return invalid_input("address '{}' has no path", text);
        if (address.path.size() >= sizeof(sockaddr_un::sun_path))
            return invalid_input("address '{}': the path has {} bytes, a socket's can have {}", text,
                                 address.path.size(), sizeof(sockaddr_un::sun_path) - 1);
        return address;
    }
    if (text.starts_with("fd:")) {
        address.kind = Kind::Fd;
        const std::string_view word = text.substr(3);
        if (word.empty())
            return invalid_input("address '{}' has neither a number nor a name", text);
        if ((word.front() < '0' || word.front() > '9') && word.front() != '-')
            address.name = word;
        else if (!parse_number(word, address.fd) || address.fd < 0)
            return invalid_input("address '{}': '{}' is not a descriptor number", text, word);
        return address;
    }
    return invalid_input("address '{}' is none of tcp:HOST:PORT, unix:PATH, fd:N or fd:NAME", text);
}

std::string Address::text() const {
    switch (kind) {
    case Kind::Tcp:
        return host.find(':') == std::string::npos ? fmt::format("tcp:{}:{}", host, port)
                                                   : fmt::format("tcp:[{}]:{}", host, port);
    case Kind::Unix:
        return "unix:" + path;
    case Kind::Fd:
        return name.empty() ? fmt::format("fd:{}", fd) : "fd:" + name;
    }
    return {};
}

} // namespace godwit::migration
