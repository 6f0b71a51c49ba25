// SPDX-License-Identifier: Apache-2.0
#pragma once
// The command line: words of the form key=value, separated by blanks.  The last of equal keys wins.
//   options.bytes("mem.size", 64 * MiB)   options.flag("net.csum", true)   options.has_item("prog", "disk")
#include "base/types.h"

#include <string_view>

namespace guest {

class Options {
  public:
    void set(const char* line); // copied
    std::string_view line() const { return {line_, size_}; }

    std::string_view text(std::string_view key, std::string_view otherwise) const;
    u64 number(std::string_view key, u64 otherwise) const;
    u64 bytes(std::string_view key, u64 otherwise) const { return number(key, otherwise); } // 64K, 16M, 2G
    bool flag(std::string_view key, bool otherwise) const { return number(key, otherwise ? 1 : 0) != 0; }
    u32 ipv4(std::string_view key, u32 otherwise) const;              // host byte order
    bool has_item(std::string_view key, std::string_view item) const; // of a comma separated list

  private:
    char line_[2048] = {};
    std::size_t size_ = 0;
};

extern Options options;

} // namespace guest
