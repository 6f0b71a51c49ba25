// SPDX-License-Identifier: Apache-2.0
//
// Where a migration peer is: `tcp:HOST:PORT` (an IPv6 address in brackets, an empty host means all
// interfaces), `unix:PATH`, `fd:N` (a socket that this process has inherited), `fd:NAME` (one that it was
// handed, or that its service manager named). Plain values, any thread.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/base/result.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace godwit::migration {

struct Address {
    enum class Kind { Tcp, Unix, Fd };

    Kind kind = Kind::Tcp;
    std::string host; // Tcp
    std::uint16_t port = 0;
    std::string path;           // Unix
    int fd = -1;                // Fd, by number: for whoever listens
    std::string name;           // Fd, by name
    std::shared_ptr<Fd> handed; // Fd: the connection itself, until one connects

    static Result<Address> parse(std::string_view text);
    std::string text() const; // parse() gives the same address again
    bool operator==(const Address&) const = default;
};

} // namespace godwit::migration
