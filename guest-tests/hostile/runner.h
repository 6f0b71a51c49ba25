// SPDX-License-Identifier: Apache-2.0
//
// Runs one case against one device on one transport, and judges what every case has to keep: its outcome,
// guest memory, the other device, a reset that heals, and the device's state, which loads elsewhere into a
// device that behaves alike.
#pragma once

#include "guest-tests/hostile/case.h"

namespace godwit::hostile {

// What was not as it should be, a line each; empty when all was.
std::string run_case(const Case& one, Target target, Transport transport);

} // namespace godwit::hostile
