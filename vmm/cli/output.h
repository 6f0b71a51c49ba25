// SPDX-License-Identifier: Apache-2.0
//
// The standard streams of subcommands. Nothing here throws or waits for good: a terminal that is gone, a full
// disk or a reader that has left ends no migration; what standard output did not take is known at the end.
// One thread.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/base/result.h"

#include <fmt/core.h>

#include <string_view>

namespace godwit::cli {

// Before anything is opened: a standard stream that the caller has closed must not become one of our files.
// Writing to it then fails, as it should.
void occupy_standard_streams();

// What comes there, for one reader; whoever else reads standard input, as a console does, finds nothing there
// from now on. It may be a socket, which cannot be opened by its path.
Result<Fd> take_standard_input();

// Results, to standard output.
void print_text(std::string_view text);
template <class... Args>
void print(fmt::format_string<Args...> format, Args&&... args) {
    print_text(fmt::vformat(fmt::string_view{format}, fmt::make_format_args(args...)));
}

// Progress and complaints, to standard error.
void tell_text(std::string_view text);
template <class... Args>
void tell(fmt::format_string<Args...> format, Args&&... args) {
    tell_text(fmt::vformat(fmt::string_view{format}, fmt::make_format_args(args...)));
}

// Whether standard output took everything. Disconnected: its reader has left.
Status finish_output();

} // namespace godwit::cli
