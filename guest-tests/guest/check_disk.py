#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Check a raw disk image that the guest's disk program has written.

The block format is described in programs/block_content.h.  A block is valid, zero, foreign (no magic: never
written by the program) or damaged (magic, but block number or checksum are wrong).  Exit code: 0 all well,
1 a damaged block, one sequence number in two blocks, a foreign block under --strict, or fewer valid
blocks than --at-least asks for, 2 usage or I/O error.
"""
import argparse
import itertools
import struct
import sys

BLOCK = 4096
MAGIC = b"GTBLOCK1"
HEAD = struct.Struct("<8sQQQQ")
CHECKSUM_OFFSET = 32
ZEROS = bytes(BLOCK)


def fletcher64(block):
    """Fletcher-64 of the block with its checksum field zero."""
    cleared = block[:CHECKSUM_OFFSET] + bytes(8) + block[CHECKSUM_OFFSET + 8:]
    words = struct.unpack("<1024I", cleared)
    a = sum(words) % 0xFFFFFFFF
    b = sum(itertools.accumulate(words)) % 0xFFFFFFFF
    return b << 32 | a


def judge(block, number):
    """Return (verdict, sequence, generation)."""
    magic, stored_number, sequence, generation, checksum = HEAD.unpack_from(block)
    if magic != MAGIC:
        return ("zero" if block == ZEROS else "foreign"), 0, 0
    good = stored_number == number and checksum == fletcher64(block)
    return ("valid" if good else "damaged"), sequence, generation


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--span", type=int, default=0, help="bytes to look at, from the start (default: all)")
    parser.add_argument("--at-least", type=int, default=0, help="valid blocks that there must be")
    parser.add_argument("--strict", action="store_true", help="foreign blocks are damage, too")
    arguments = parser.parse_args()

    counts = dict.fromkeys(("valid", "zero", "foreign", "damaged"), 0)
    newest = {}
    seen = {}
    duplicates = 0
    with open(arguments.image, "rb") as image:
        for number in itertools.count():
            if arguments.span and number * BLOCK >= arguments.span:
                break
            block = image.read(BLOCK)
            if len(block) < BLOCK:
                break
            verdict, sequence, generation = judge(block, number)
            counts[verdict] += 1
            if verdict == "damaged":
                print(f"damaged block={number} sequence={sequence} generation={generation}")
            if verdict == "valid":
                newest[generation] = max(newest.get(generation, 0), sequence)
                if (generation, sequence) in seen:
                    duplicates += 1
                    print(f"sequence twice: generation={generation} sequence={sequence} "
                          f"blocks={seen[generation, sequence]},{number}")
                seen[generation, sequence] = number

    print(" ".join(f"{key}={value}" for key, value in counts.items()), f"duplicates={duplicates}",
          " ".join(f"newest[{generation}]={sequence}" for generation, sequence in sorted(newest.items())))
    bad = counts["damaged"] + duplicates + (counts["foreign"] if arguments.strict else 0)
    return 1 if bad or counts["valid"] < arguments.at_least else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as error:
        print(f"check_disk: {error}", file=sys.stderr)
        sys.exit(2)
