// SPDX-License-Identifier: Apache-2.0
//
// The tables as a page of the documentation.
#pragma once

#include "guest-tests/hostile/case.h"

#include <functional>
#include <string>

namespace godwit::hostile {

// docs/hostile-guest.md, all of it.
std::string document();

// Every case on every device and transport that it names.
void each_run(const std::function<void(const Case&, const Target&, Transport)>& visit);
std::string run_name(const Case& one, const Target& target, Transport transport);

} // namespace godwit::hostile
