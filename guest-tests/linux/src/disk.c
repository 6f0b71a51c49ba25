/* SPDX-License-Identifier: Apache-2.0
 *
 * The disk program: files on ext4, each fully determined by its slot and its sequence number. A file is
 * written under a temporary name, synchronised, renamed, and the one before it is read back from the device.
 * At the end the file system is mounted afresh, and every slot must hold the last sequence number that was
 * given to it.
 *
 * A file is a header of 32 bytes and a payload of 64-bit words, all little-endian:
 * "GTFILE1\0", slot (32), payload words (32), sequence (64), sum of the payload words rotated (64).
 */
#include "gt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct header {
    char magic[8];
    uint32_t slot, words;
    uint64_t sequence, sum;
};

static const char kMagic[8] = "GTFILE1";
static uint64_t sequence_of[kMaxFiles]; /* last one that was renamed into place; 0: none */
static uint64_t *written, *read_back;

static void fail(const char* what, unsigned slot, uint64_t detail) {
    counters->disk.errors++;
    report("fail what=%s slot=%u detail=%llu errno=%d", what, slot, (unsigned long long)detail, errno);
}

static void slot_path(char* path, size_t size, unsigned slot, const char* suffix) {
    snprintf(path, size, "/mnt/gt/%03u%s", slot, suffix);
}

static size_t fill(uint64_t* words, unsigned slot, uint64_t sequence) {
    struct header h = {.slot = slot, .sequence = sequence};
    memcpy(h.magic, kMagic, sizeof h.magic);
    h.words = (uint32_t)((options.file_size - sizeof h) / 8);
    uint64_t* payload = words + sizeof h / 8;
    for (uint32_t i = 0; i < h.words; i++) {
        payload[i] = stream_word(sequence, i);
        h.sum = ((h.sum << 1) | (h.sum >> 63)) + payload[i];
    }
    memcpy(words, &h, sizeof h);
    return sizeof h + (size_t)h.words * 8;
}

static bool write_all(int fd, const void* from, size_t length) {
    for (size_t done = 0; done < length;) {
        const ssize_t n = write(fd, (const char*)from + done, length - done);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static bool write_file(unsigned slot, uint64_t sequence) {
    char temporary[64], final[64];
    slot_path(temporary, sizeof temporary, slot, ".new");
    slot_path(final, sizeof final, slot, "");
    const size_t length = fill(written, slot, sequence);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) {
        fail("open", slot, sequence);
        return false;
    }
    bool ok = write_all(fd, written, length) && fsync(fd) == 0;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* so that reading it asks the device */
    ok = close(fd) == 0 && ok && rename(temporary, final) == 0;
    if (!ok) {
        fail("write", slot, sequence);
        return false;
    }
    sequence_of[slot] = sequence;
    counters->disk.files++;
    counters->disk.bytes += length;
    return true;
}

/* Checks the file in the slot against itself and, when sequence is not 0, against that. Returns its sequence.
 */
static uint64_t check_file(unsigned slot, uint64_t sequence) {
    char path[64];
    slot_path(path, sizeof path, slot, "");
    const int fd = open(path, O_RDONLY);
    if (fd < 0) {
        if (sequence || errno != ENOENT)
            fail("missing_file", slot, sequence);
        return 0;
    }
    const ssize_t length = read(fd, read_back, options.file_size + 8);
    close(fd);
    struct header h;
    if (length < (ssize_t)sizeof h) {
        fail("short_file", slot, (uint64_t)length);
        return 0;
    }
    memcpy(&h, read_back, sizeof h);
    if (memcmp(h.magic, kMagic, sizeof h.magic) != 0 || h.slot != slot ||
        (size_t)length != sizeof h + (size_t)h.words * 8) {
        fail("damaged_header", slot, h.sequence);
        return 0;
    }
    if (sequence && h.sequence != sequence) {
        fail("stale_file", slot, h.sequence);
        return h.sequence;
    }
    uint64_t sum = 0;
    const uint64_t* payload = read_back + sizeof h / 8;
    for (uint32_t i = 0; i < h.words; i++) {
        if (payload[i] != stream_word(h.sequence, i)) {
            fail("damaged_payload", slot, i);
            return h.sequence;
        }
        sum = ((sum << 1) | (sum >> 63)) + payload[i];
    }
    if (sum != h.sum)
        fail("damaged_sum", slot, h.sequence);
    else
        counters->disk.verified++;
    return h.sequence;
}

static bool mount_disk(void) {
    mkdir("/mnt", 0755);
    if (mount(options.disk, "/mnt", "ext4", 0, NULL) == 0)
        return true;
    fail("mount_disk", 0, 0);
    return false;
}

int run_disk(void) {
    written = malloc(options.file_size + 8);
    read_back = malloc(options.file_size + 8);
    if (!written || !read_back || !mount_disk())
        return 1;
    mkdir("/mnt/gt", 0755);
    uint64_t sequence = 0;
    for (unsigned slot = 0; slot < options.files; slot++) { /* what an earlier boot left */
        sequence_of[slot] = check_file(slot, 0);
        counters->disk.found += sequence_of[slot] != 0;
        if (sequence_of[slot] > sequence)
            sequence = sequence_of[slot];
    }
    counters->disk.ready = true;
    report("disk ready device=%s found=%llu", options.disk, (unsigned long long)counters->disk.found);
    unsigned before = options.files;
    while (!counters->stop) {
        const unsigned slot = (unsigned)(++sequence % options.files);
        if (!write_file(slot, sequence))
            break;
        if (before < options.files)
            check_file(before, sequence_of[before]);
        before = slot;
        if (options.pause_ms)
            sleep_ms(options.pause_ms);
    }
    if (umount("/mnt") != 0 || !mount_disk()) {
        fail("remount", 0, 0);
        return 1;
    }
    for (unsigned slot = 0; slot < options.files; slot++)
        check_file(slot, sequence_of[slot]);
    if (umount("/mnt") != 0)
        fail("umount", 0, 0);
    return counters->disk.errors != 0;
}
