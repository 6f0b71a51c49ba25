// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/hostile/case.h"

namespace godwit::hostile {

const std::vector<Table>& all_tables() {
    static const std::vector<Table> tables{
        {"Rings and chains", ring_cases()},
        {"Queue set-up", setup_cases()},
        {"Status, features, doorbells, configuration, resets", negotiation_cases()},
        {"Block requests", blk_cases()},
        {"Network frames and commands, entropy", net_cases()},
        {"PCI", pci_cases()},
        {"Channel I/O", ccw_cases()},
    };
    return tables;
}

std::string_view to_string(Outcome outcome) {
    switch (outcome) {
    case Outcome::NeedsReset:
        return "needs a reset";
    case Outcome::Error:
        return "error";
    case Outcome::Refused:
        return "refused";
    case Outcome::Harmless:
        break;
    }
    return "harmless";
}

} // namespace godwit::hostile
