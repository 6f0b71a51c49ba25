// SPDX-License-Identifier: Apache-2.0
#pragma once
// The serial port at 0x3f8, polled.  Reference: PC16550D data sheet, section 8.
// Any CPU may write, but only one at a time: the first CPU does.
#include "base/types.h"

#include <string_view>

namespace guest::serial {

void init();
void put(char c);
void put(std::string_view text);
void start_line(); // a line feed, unless the line is still empty

// A byte that came in, or -1.
int poll();

} // namespace guest::serial
