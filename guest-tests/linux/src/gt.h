/* SPDX-License-Identifier: Apache-2.0
 *
 * What the programs of the Linux guest share: options, counters, report lines. One process each for the
 * console (init), the disk writer and the TCP server, so that one that sleeps in the kernel does not hold up
 * the others.
 */
#ifndef GT_H
#define GT_H

#include <stdbool.h>
#include <stdint.h>

struct options {
    char mode[16];      /* gt=: work, shell, poweroff, reboot */
    char disk[32];      /* gt.disk= block device; "none": no disk */
    char ip[32];        /* gt.ip= address with prefix length; "none": no network */
    unsigned clock_ms;  /* gt.clock= milliseconds between clock lines */
    unsigned seconds;   /* gt.time= seconds to run; 0: until told */
    unsigned files;     /* gt.files= slots on the disk, at most kMaxFiles */
    unsigned file_size; /* gt.size= bytes per file */
    unsigned pause_ms;  /* gt.pause= milliseconds between two files */
};

enum { kMaxFiles = 256, kEchoPort = 5000, kSourcePort = 5001 };

/* Counters live in memory that all processes share; each has one writer. */
struct counters {
    volatile bool stop; /* written by init: finish, verify, exit */
    struct {
        uint64_t files, bytes, found, verified, errors;
        bool ready;
    } disk;
    struct {
        uint64_t connections, received, sent, errors;
        bool ready;
    } tcp;
};

extern struct options options;
extern struct counters* counters;

/* Writes "GT linux " and the text as one line with one write, so that lines of several processes do not mix.
 */
void report(const char* format, ...) __attribute__((format(printf, 1, 2)));

/* The i-th word of the pseudorandom stream with this seed. */
uint64_t stream_word(uint64_t seed, uint64_t i);

void sleep_ms(unsigned ms);

/* Bodies of the child processes. Return the exit status: 0 when all was well. */
int run_disk(void);
int run_tcp(void);

/* Configures lo and eth0; false when there is no such card. */
bool set_up_network(void);

/* Which device the kernel takes entropy from, and some bytes of it. */
void report_entropy(void);

/* Loads the drivers /modules/NN-NAME.ko in the order of their numbers, where the kernel has not got them
 * built in.
 */
void load_modules(void);

/* Copies the ACPI tables that the kernel was given to acpi/ on the disk. */
void save_acpi_tables(void);

/* Prints every kernel message that looks like a problem and their number; returns the number. */
unsigned report_kernel_problems(void);

#endif
