// SPDX-License-Identifier: Apache-2.0
//
// What the tables of channel I/O have in common.
#pragma once

#include "guest-tests/hostile/attack.h"

namespace godwit::hostile {

// A case for channel I/O alone, which is refused; on the block device unless others are named.
Case ccw_case(std::string rule, std::string section, std::string effect, std::function<void(Attack&)> act,
              std::span<const Target> targets = kOnlyBlk);

// What a program ended with.
void expect_program_check(Attack& a, const ccw::testing::Response& got);
void expect_incorrect_length(Attack& a, const ccw::testing::Response& got);
// Unit check, and sense says command reject.
void expect_reject(Attack& a, const ccw::testing::Response& got);

// Runs a program of the attacked device, and takes its status.
ccw::testing::Response run(Attack& a, const std::vector<ccw::Ccw1>& program,
                           ccw::Orb orb = ccw::testing::Guest::orb());
// Sense id, as a part of programs.
ccw::Ccw1 sense_id(std::uint8_t flags = 0, std::uint16_t count = 7,
                   std::uint32_t at = ccw::testing::Guest::kData);
// A program that only halt or clear ends.
std::vector<ccw::Ccw1> endless();
// Disables and enables: the next revision may be set, and until then the driver is a legacy one.
void forget_revision(Attack& a);

} // namespace godwit::hostile
