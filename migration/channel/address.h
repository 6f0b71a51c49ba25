// SPDX-License-Identifier: Apache-2.0
//
// Where a migration peer is: `tcp:HOST:PORT` (an IPv6 address in brackets, an empty host means all
// interfaces), `unix:PATH`, `fd:N` (a socket that the caller handed over). Plain values, any thread.
#pragma once

#include "vmm/base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace godwit::migration {

struct Address {
    enum class Kind { Tcp, Unix, Fd };

    Kind kind = Kind::Tcp;
    std::string host; // Tcp
    std::uint16_t port = 0;
    std::string path; // Unix
    int fd = -1;      // Fd; a number on the command line, adopted by whoever opens the address

    static Result<Address> parse(std::string_view text);
    std::string text() const; // parse() gives the same address again
    bool operator==(const Address&) const = default;
};

} // namespace godwit::migration
