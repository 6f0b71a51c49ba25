// SPDX-License-Identifier: Apache-2.0
#include "programs/block_content.h"

#include "base/random.h"

namespace guest {
namespace {

constexpr u64 checksum_word32 = offsetof(BlockHead, checksum) / sizeof(u32);

} // namespace

u64 fletcher64(const void* block) {
    constexpr u64 modulus = 0xffffffff;
    const auto* words = static_cast<const u32*>(block);
    u64 a = 0, b = 0; // 1024 words of 32 bits cannot overflow them
    for (u64 i = 0; i < block_size / sizeof(u32); ++i) {
        if (i != checksum_word32 && i != checksum_word32 + 1)
            a += words[i];
        b += a;
    }
    return (b % modulus) << 32 | a % modulus;
}

void write_block(void* block, u64 number, u64 sequence, u64 generation) {
    auto* words = static_cast<u64*>(block);
    u64 seed = mix(mix(number, sequence), generation);
    for (u64 i = sizeof(BlockHead) / sizeof(u64); i < block_size / sizeof(u64); ++i)
        words[i] = mix(seed, i);
    auto* head = static_cast<BlockHead*>(block);
    *head = {BlockHead::expected_magic, number, sequence, generation, 0};
    head->checksum = fletcher64(block);
}

BlockVerdict judge_block(const void* block, u64 number, BlockHead& head) {
    memcpy(&head, block, sizeof head);
    if (head.magic == BlockHead::expected_magic)
        return head.block == number && head.checksum == fletcher64(block) ? BlockVerdict::Valid
                                                                          : BlockVerdict::Damaged;
    const auto* words = static_cast<const u64*>(block);
    u64 any = 0;
    for (u64 i = 0; i < block_size / sizeof(u64); ++i)
        any |= words[i];
    return any == 0 ? BlockVerdict::Zero : BlockVerdict::Foreign;
}

} // namespace guest
