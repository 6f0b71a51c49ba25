// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the disk program writes, and what check_disk.py looks for in an image afterwards.  Little endian:
//   offset  size
//        0     8  magic "GTBLOCK1"
//        8     8  block number (byte offset on the disk / 4096)
//       16     8  sequence: counts the writes of one run, from 1
//       24     8  generation: disk.generation, tells the runs on one image apart
//       32     8  Fletcher-64 of the whole block with this field zero
//       40  4056  pseudo-random body
// Fletcher-64 over the 1024 words of 32 bits w: a = sum of w, b = sum of the running a, both modulo 2^32 - 1;
// the checksum is b << 32 | a.
// A block that the program never wrote, or zeroed, or discarded may hold anything else, zeros as a rule.
#include "base/types.h"

namespace guest {

struct BlockHead {
    static constexpr u64 expected_magic = 0x314b434f4c425447; // "GTBLOCK1"
    u64 magic, block, sequence, generation, checksum;
};

constexpr u64 block_size = 4096;

u64 fletcher64(const void* block);
void write_block(void* block, u64 number, u64 sequence, u64 generation);

enum class BlockVerdict {
    Valid,
    Zero,
    Foreign,
    Damaged
}; // Foreign: no magic; Damaged: magic, but the rest is wrong
BlockVerdict judge_block(const void* block, u64 number, BlockHead& head);

} // namespace guest
