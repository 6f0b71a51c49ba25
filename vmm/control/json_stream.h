// SPDX-License-Identifier: Apache-2.0
//
// Cuts what a client sends into JSON values: a value ends where its JSON ends (RFC 8259), whatever stands
// between two of them, as QMP's clients rely on. Only cuts: whether a piece is JSON is for the parser to say.
// Confined to one thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace godwit::control {

class JsonStream {
  public:
    static constexpr std::size_t kMaxValue = 64 * 1024; // bytes of one value
    static constexpr std::size_t kMaxDepth = 1024;      // arrays and objects in each other

    void append(std::string_view bytes) { received_ += bytes; }

    // The next whole value, without what surrounds it; nothing while it is not all here. What cannot begin a
    // value is a piece too, up to the next blank or bracket. A string ends at the end of its line at the
    // latest, so that a quotation mark too many costs its line and no more.
    std::optional<std::string> next();

    // Bytes that no value was made of so far, without blanks before the next one once next() has seen them.
    std::size_t size() const { return received_.size() - start_; }
    // The value that is arriving is larger or deeper than any request may be.
    bool too_long() const { return at_ - start_ > kMaxValue || depth_ > kMaxDepth; }

  private:
    std::string taken();

    std::string received_;
    std::size_t start_ = 0; // of the value that is arriving
    std::size_t at_ = 0;    // looked at up to here
    std::size_t depth_ = 0;
    bool in_string_ = false;
    bool escaped_ = false;
};

} // namespace godwit::control
