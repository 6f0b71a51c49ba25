// SPDX-License-Identifier: Apache-2.0
//
// The `key=value,key=value` form of device options. Unknown, repeated and empty keys are errors that name the
// option, so that a misspelt word never passes silently.
#pragma once

#include "vmm/base/result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace godwit {

class KeyValues {
  public:
    // `option` is for messages: "--disk". A value may hold a comma when it is doubled: path=a,,b names "a,b".
    static Result<KeyValues> parse(std::string_view option, std::string_view text,
                                   std::span<const std::string_view> known_keys);

    const std::string* find(std::string_view key) const;
    Result<std::string> required(std::string_view key) const;
    std::string text(std::string_view key, std::string fallback = {}) const;
    // on, off, true, false, yes, no; the key alone means on.
    Result<bool> flag(std::string_view key, bool fallback) const;
    Result<std::uint64_t> number(std::string_view key, std::uint64_t fallback, std::uint64_t least,
                                 std::uint64_t most) const;

  private:
    struct Entry {
        std::string key;
        std::string value;
        bool bare;
    };
    std::string option_;
    std::vector<Entry> entries_;
};

// "512M", "2G", "64K" or plain bytes; powers of 1024. `what` is for messages.
Result<std::uint64_t> parse_size(std::string_view what, std::string_view text);

// "17": decimal, nothing around it, within [least, most].
Result<std::uint64_t> parse_number(std::string_view what, std::string_view text, std::uint64_t least,
                                   std::uint64_t most);

} // namespace godwit
