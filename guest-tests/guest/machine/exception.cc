// SPDX-License-Identifier: Apache-2.0
// The reporter of exceptions: CPL0 fills exception_record and lands here, interrupts off.  The machine then
// powers off.
#include "base/report.h"
#include "machine/power.h"

namespace {

struct ExceptionRecord {
    guest::u64 vector, error, rip, cr2;
};

} // namespace

extern "C" {
constinit volatile ExceptionRecord exception_record{};

[[noreturn]] void exception_main() {
    guest::Report("exception")
        .add("vec", exception_record.vector)
        .add_hex("err", exception_record.error)
        .add_hex("rip", exception_record.rip)
        .add_hex("cr2", exception_record.cr2);
    guest::Report("exit").add("status", 2);
    guest::power::off();
}
}
