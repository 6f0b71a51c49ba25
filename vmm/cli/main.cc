// SPDX-License-Identifier: Apache-2.0
//
// godwit: guests on vCPUs of KVM.
#include "vmm/cli/program.h"
#include "vmm/machine/machine.h"

using namespace godwit;

int main(int argc, char** argv) {
    return cli::main(
        argc, argv,
        [](const MachineConfig& config, Loop& loop, MachineEvents& events) -> Result<std::unique_ptr<Guest>> {
            return std::unique_ptr<Guest>{TRY(Machine::create(config, loop, events))};
        });
}
