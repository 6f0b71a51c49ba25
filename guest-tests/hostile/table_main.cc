// SPDX-License-Identifier: Apache-2.0
//
// hostile_guest_table             prints docs/hostile-guest.md
// hostile_guest_table --run TEXT  runs the cases with TEXT in "rule / device / transport", and says what was
// wrong
#include "guest-tests/hostile/document.h"
#include "guest-tests/hostile/runner.h"

#include <cstdio>

using namespace godwit::hostile;

int main(int count, char** arguments) {
    if (count == 1) {
        std::fputs(document().c_str(), stdout);
        return 0;
    }
    if (count != 3 || std::string_view{arguments[1]} != "--run") {
        std::fputs("usage: hostile_guest_table [--run TEXT]\n", stderr);
        return 2;
    }
    int failed = 0;
    each_run([&](const Case& one, const Target& target, Transport transport) {
        const std::string name = run_name(one, target, transport);
        if (name.find(arguments[2]) == std::string::npos)
            return;
        const std::string wrong = run_case(one, target, transport);
        std::printf("%s: %s\n%s", wrong.empty() ? "ok" : "WRONG", name.c_str(), wrong.c_str());
        failed += wrong.empty() ? 0 : 1;
    });
    return failed == 0 ? 0 : 1;
}
