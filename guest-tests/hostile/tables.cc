// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/hostile/tables.h"

namespace godwit::hostile {

const std::vector<Table>& all_tables() {
    static const std::vector<Table> tables{
        {"Rings and chains", ring_cases()},
        {"Indirect descriptors", indirect_cases()},
        {"Queue set-up", setup_cases()},
        {"Status, features, doorbells, configuration, resets", negotiation_cases()},
        {"Block requests", blk_cases()},
        {"Network frames and commands, entropy", net_cases()},
        {"PCI: functions, configuration space, BARs", pci_function_cases()},
        {"PCI: MSI-X and registers", pci_register_cases()},
        {"Channel I/O: operations", ccw_operation_cases()},
        {"Channel I/O: programs", ccw_program_cases()},
        {"Channel I/O: commands", ccw_command_cases()},
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

Case from(Stage stage, Case one) {
    one.stage = stage;
    return one;
}

Case without(unsigned feature_bit, Case one) {
    one.options.features_off = virtio::feature(feature_bit);
    return one;
}

Case on_readonly(Case one) {
    one.options.readonly = true;
    return one;
}

Case harmless(Case one) {
    one.outcome = Outcome::Harmless;
    return one;
}

Case dead(Case one) {
    one.alive = false;
    return one;
}

} // namespace godwit::hostile
