// SPDX-License-Identifier: Apache-2.0
#include "programs/page_content.h"

#include "base/random.h"

namespace guest {
namespace {

constexpr u64 words = page_size / sizeof(u64), first_body_word = 3;

u64 seed(u64 address, u64 generation) {
    return mix(address, generation);
}

u64 body_word(u64 seed, u64 index, Fill fill) {
    return fill == Fill::Random ? mix(seed, index) : seed;
}

} // namespace

void write_page(u64* page, u64 address, u64 generation, Fill fill) {
    u64 s = seed(address, generation), sum = address ^ generation;
    page[0] = address;
    page[1] = generation;
    for (u64 i = first_body_word; i < words; ++i) {
        page[i] = body_word(s, i, fill);
        sum += page[i];
    }
    page[2] = sum;
}

bool check_page(const u64* page, u64 address, u64 generation, Fill fill, PageError& error) {
    u64 s = seed(address, generation), sum = address ^ generation;
    u64 difference = (page[0] ^ address) | (page[1] ^ generation);
    for (u64 i = first_body_word; i < words; ++i) {
        u64 expected = body_word(s, i, fill);
        difference |= page[i] ^ expected;
        sum += expected;
    }
    if ((difference | (page[2] ^ sum)) == 0)
        return true;
    error = {address, page[0], generation, page[1], 0, address, page[0]};
    for (u64 i = 0; i < words && error.expected_value == error.found_value; ++i) {
        error.word = i;
        error.found_value = page[i];
        error.expected_value = i == 0 ? address : i == 1 ? generation : i == 2 ? sum : body_word(s, i, fill);
    }
    return false;
}

} // namespace guest
