/* SPDX-License-Identifier: Apache-2.0
 *
 * What concerns the machine and not the work: drivers that the kernel has as modules, and the ACPI tables as
 * the kernel shows them.
 */
#define _GNU_SOURCE
#include "gt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int visible(const struct dirent* entry) {
    return entry->d_name[0] != '.';
}

void load_modules(void) {
    struct dirent** names;
    const int count = scandir("/modules", &names, visible, alphasort);
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "/modules/%s", names[i]->d_name);
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)
            report("fail what=module name=%s errno=%d", names[i]->d_name, errno);
        close(fd);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

void report_entropy(void) {
    char current[64] = "none";
    uint8_t first[32] = {0}, second[32] = {0};
    const int sysfs = open("/sys/class/misc/hw_random/rng_current", O_RDONLY | O_CLOEXEC);
    const ssize_t length = read(sysfs, current, sizeof current - 1);
    close(sysfs);
    if (length > 0)
        current[strcspn(current, "\n")] = '\0';
    const int device = open("/dev/hwrng", O_RDONLY | O_CLOEXEC);
    const ssize_t count = read(device, first, sizeof first), again = read(device, second, sizeof second);
    close(device);
    report("entropy current=%s bytes=%zd changes=%d", current, count + again,
           memcmp(first, second, sizeof first) != 0);
}

static bool copy_file(const char* from, const char* to) {
    static char data[1 << 16];
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ssize_t length;
    bool ok = in >= 0 && out >= 0;
    while (ok && (length = read(in, data, sizeof data)) != 0)
        ok = length > 0 && write(out, data, (size_t)length) == length;
    close(in);
    close(out);
    return ok;
}

void save_acpi_tables(void) {
    static const char kTables[] = "/sys/firmware/acpi/tables";
    struct dirent** names;
    const int count = scandir(kTables, &names, visible, alphasort);
    unsigned saved = 0, errors = count < 0;
    mkdir("/mnt/acpi", 0755);
    for (int i = 0; i < count; i++) {
        char from[PATH_MAX], to[PATH_MAX];
        struct stat status;
        snprintf(from, sizeof from, "%s/%s", kTables, names[i]->d_name);
        snprintf(to, sizeof to, "/mnt/acpi/%s", names[i]->d_name);
        if (stat(from, &status) == 0 && S_ISREG(status.st_mode)) { /* beside them are folders */
            if (copy_file(from, to))
                saved++;
            else
                errors++;
        }
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    report("acpi tables=%u errors=%u", saved, errors);
}
