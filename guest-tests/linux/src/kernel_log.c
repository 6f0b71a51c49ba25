/* SPDX-License-Identifier: Apache-2.0
 *
 * Looks through the kernel's messages for those that say that the machine, or a driver, is not well.
 */
#define _GNU_SOURCE
#include "gt.h"

#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>

/* Matched without regard to case, but for "BUG": many messages speak of debugging. */
static const char* const kPatterns[] = {"warning",      "firmware bug", "conflict",    "call trace",
                                        "acpi error",   "acpi bios",    "i/o error",   "ext4-fs error",
                                        "nobody cared", "stall",        "soft lockup", "can't claim"};

static bool is_problem(const char* line) {
    if (strstr(line, "/hw-vuln/")) /* what the host's CPU lacks */
        return false;
    if (strstr(line, "BUG"))
        return true;
    for (size_t i = 0; i < sizeof kPatterns / sizeof kPatterns[0]; i++)
        if (strcasestr(line, kPatterns[i]))
            return true;
    return false;
}

unsigned report_kernel_problems(void) {
    enum { kReadAll = 3, kSizeOfBuffer = 10 };
    const int size = klogctl(kSizeOfBuffer, NULL, 0);
    char* text = size > 0 ? malloc((size_t)size + 1) : NULL;
    const int length = text ? klogctl(kReadAll, text, size) : -1;
    if (length < 0) {
        report("fail what=kernel_log");
        return 1;
    }
    text[length] = '\0';
    unsigned problems = 0, forks = 0;
    for (char* line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        forks += strstr(line, "reseeded due to virtual machine fork") != NULL;
        if (is_problem(line)) {
            problems++;
            report("dmesg-problem %s", line);
        }
    }
    report("dmesg-problems=%u", problems);
    report("vm-forks=%u", forks); /* how often its generation changed */
    free(text);
    return problems;
}
