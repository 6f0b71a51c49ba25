// SPDX-License-Identifier: Apache-2.0
#pragma once
// One report line on the serial port: GT <topic> key=value ...   It ends with the object.
//   Report("mem").add("pass", 12).add("errors", 0);
// Only the first CPU reports (and the exception reporter).
#include "base/types.h"

#include <string_view>

namespace guest {

class Report {
  public:
    explicit Report(std::string_view topic);
    ~Report();
    Report(const Report&) = delete;
    Report& operator=(const Report&) = delete;

    Report& add(std::string_view key, u64 value);
    Report& add_hex(std::string_view key, u64 value);
    Report& add(std::string_view key, std::string_view value);
    Report& add_quoted(std::string_view key, std::string_view value);
    Report& add_ipv4(std::string_view key, u32 address);
    Report& add_mac(std::string_view key, const u8* address);
};

} // namespace guest
