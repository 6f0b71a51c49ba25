// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/hostile/document.h"

#include "guest-tests/hostile/tables.h"

#include <fmt/format.h>

namespace godwit::hostile {

namespace {

std::string joined(const auto& items, const auto& name) {
    std::string text;
    for (const auto& item : items)
        text += fmt::format("{}{}", text.empty() ? "" : ", ", name(item));
    return text;
}

std::string expected(const Case& one) {
    std::string text{to_string(one.outcome)};
    if (one.on_ccw.has_value() && *one.on_ccw != one.outcome)
        text = fmt::format("pci: {}; ccw: {}", text, to_string(*one.on_ccw));
    return one.effect.empty() ? text : fmt::format("{}: {}", text, one.effect);
}

std::string section(const Case& one) {
    const bool of_virtio = one.section.find_first_of("0123456789") == 0;
    return (of_virtio ? "virtio " : "") + one.section;
}

} // namespace

void each_run(const std::function<void(const Case&, const Target&, Transport)>& visit) {
    for (const Table& table : all_tables())
        for (const Case& one : table.cases)
            for (const Target& target : one.targets)
                for (const Transport transport : one.transports)
                    visit(one, target, transport);
}

std::string run_name(const Case& one, const Target& target, Transport transport) {
    return fmt::format("{} / {} / {}", one.rule, target.name, to_string(transport));
}

std::string document() {
    std::size_t rules = 0, runs = 0;
    for (const Table& table : all_tables())
        rules += table.cases.size();
    each_run([&](const Case&, const Target&, Transport) { ++runs; });
    std::string text = fmt::format(
        R"(# A hostile guest: what it does, and what comes of it

Made from the tables in `guest-tests/hostile` by `build/guest-tests/hostile/hostile_guest_table > docs/hostile-guest.md`; a test compares. Each
line is a rule that a driver breaks: {} rules, {} runs on the devices and transports named. The devices are the real ones and everything goes
the guest's way, through registers, channel programs and doorbells; no KVM is needed.

What every run has to keep, beside its own outcome:

- guest memory is untouched but for what the driver gave: the rest is a pattern, and is compared;
- another device of the same bus or channel subsystem goes on to serve its driver;
- the device's state, saved at that moment, loads into a machine in which nothing has happened yet, is saved there as the same bytes, and the device
  there has the same status and answers a good request as the one here does;
- a reset heals the device, here and there: good requests are served on all its queues.

| outcome | means |
| --- | --- |
| needs a reset | DEVICE_NEEDS_RESET is set, a driver that runs is interrupted, and nothing more is served until a reset |
| error | the request is used with an error, and the device goes on |
| refused | the register, command or operation has no effect, which the driver can see; a device that ran goes on |
| harmless | what is said there, and nothing else; a device that ran goes on |
)",
        rules, runs);
    for (const Table& table : all_tables()) {
        text += fmt::format("\n## {}\n\n| rule broken | section | devices | transports | outcome |\n"
                            "| --- | --- | --- | --- | --- |\n",
                            table.title);
        for (const Case& one : table.cases)
            text +=
                fmt::format("| {} | {} | {} | {} | {} |\n", one.rule, section(one),
                            joined(one.targets, [](const Target& target) { return target.name; }),
                            joined(one.transports, [](Transport transport) { return to_string(transport); }),
                            expected(one));
    }
    return text;
}

} // namespace godwit::hostile
