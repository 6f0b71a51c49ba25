// SPDX-License-Identifier: Apache-2.0
//
// The tables of cases, by subject.
#pragma once

#include "guest-tests/hostile/case.h"

namespace godwit::hostile {

// Cases of one subject.
struct Table {
    std::string_view title;
    std::vector<Case> cases;
};
// In the order of the document.
const std::vector<Table>& all_tables();

// For all transports.
std::vector<Case> ring_cases();
std::vector<Case> indirect_cases();
std::vector<Case> setup_cases();
std::vector<Case> negotiation_cases();
std::vector<Case> blk_cases();
std::vector<Case> net_cases();
// For one.
std::vector<Case> pci_function_cases();
std::vector<Case> pci_register_cases();
std::vector<Case> ccw_operation_cases();
std::vector<Case> ccw_program_cases();
std::vector<Case> ccw_command_cases();

// What cases are varied with.
Case from(Stage stage, Case one);
Case without(unsigned feature_bit, Case one);
Case on_readonly(Case one);
Case harmless(Case one);
// Good requests are not served afterwards.
Case dead(Case one);

} // namespace godwit::hostile
