// SPDX-License-Identifier: Apache-2.0
//
// The command line of godwit, whatever runs the guest: every program that is one has a main() of a line.
#pragma once

#include "vmm/machine/guest_factory.h"

namespace godwit::cli {

// Parses and runs one subcommand; `factory` makes the guest of those that have one. Gives the exit status.
int main(int argc, char** argv, const GuestFactory& factory);

} // namespace godwit::cli
