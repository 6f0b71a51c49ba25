// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a page of the mem program holds: all of it follows from the page's address and a generation number,
// so that a lost write, a stale page and a page in the wrong place all show.
//   word 0 address, word 1 generation, word 2 checksum (of the address, the generation and the body),
//   words 3..511 body: incompressible (Random) or one repeated word (Pattern)
#include "base/types.h"

namespace guest {

enum class Fill { Random, Pattern };

struct PageError {
    u64 address = 0, found_address = 0;
    u64 generation = 0, found_generation = 0;
    u64 word = 0, expected_value = 0, found_value = 0; // the first word that differs
};

// `address` is where the guest sees the page.
void write_page(u64* page, u64 address, u64 generation, Fill fill);
bool check_page(const u64* page, u64 address, u64 generation, Fill fill, PageError& error);

} // namespace guest
