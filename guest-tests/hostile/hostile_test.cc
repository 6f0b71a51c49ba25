// SPDX-License-Identifier: Apache-2.0
//
// Every case of every table, on every device and transport that it names; and the page of documentation made
// of them.
#include "guest-tests/hostile/document.h"
#include "guest-tests/hostile/runner.h"
#include "guest-tests/hostile/tables.h"

#include <catch2/catch.hpp>

#include <fstream>
#include <set>
#include <sstream>

namespace godwit::hostile {

namespace {

void run_table(std::string_view title) {
    const std::vector<Table>& tables = all_tables();
    const auto table = std::ranges::find(tables, title, &Table::title);
    REQUIRE(table != tables.end());
    for (const Case& one : table->cases)
        for (const Target& target : one.targets)
            for (const Transport transport : one.transports) {
                INFO(run_name(one, target, transport));
                CHECK(run_case(one, target, transport) == "");
            }
}

} // namespace

TEST_CASE("a hostile driver's rings break its device and nothing else", "[hostile]") {
    run_table("Rings and chains");
    run_table("Indirect descriptors");
}

TEST_CASE("a hostile driver's queues are refused or do what is said of them", "[hostile]") {
    run_table("Queue set-up");
}

TEST_CASE("a hostile driver's status, features, doorbells and resets", "[hostile]") {
    run_table("Status, features, doorbells, configuration, resets");
}

TEST_CASE("a hostile driver's block requests have errors and change no disk", "[hostile]") {
    run_table("Block requests");
}

TEST_CASE("a hostile driver's frames, commands and entropy requests", "[hostile]") {
    run_table("Network frames and commands, entropy");
}

TEST_CASE("a hostile driver's configuration space, BARs, MSI-X and registers", "[hostile]") {
    run_table("PCI: functions, configuration space, BARs");
    run_table("PCI: MSI-X and registers");
}

TEST_CASE("a hostile driver's operations, channel programs and commands", "[hostile]") {
    run_table("Channel I/O: operations");
    run_table("Channel I/O: programs");
    run_table("Channel I/O: commands");
}

TEST_CASE("the tables name each rule once", "[hostile]") {
    std::set<std::string> rules;
    for (const Table& table : all_tables())
        for (const Case& one : table.cases) {
            INFO(one.rule);
            CHECK(rules.insert(one.rule).second);
            CHECK_FALSE(one.section.empty());
            CHECK((one.outcome == Outcome::NeedsReset || !one.effect.empty()));
        }
}

TEST_CASE("docs/hostile-guest.md is what the tables say", "[hostile]") {
    std::ifstream file{HOSTILE_GUEST_DOCUMENT};
    std::ostringstream text;
    text << file.rdbuf();
    // Made anew by hostile_guest_table.
    CHECK((text.str() == document()));
}

} // namespace godwit::hostile
