// SPDX-License-Identifier: Apache-2.0
#include "migration/ram/ram_digest.h"

#include "migration/protocol/crc32c.h"
#include "vmm/sandbox/sandbox.h"

#include <algorithm>
#include <atomic>
#include <thread>

namespace godwit::migration {

namespace {
// More only wait for memory.
constexpr unsigned kMostThreads = 8;
// Pieces that are enough to know the others' time. Of an odd number, one is in the middle.
constexpr std::uint64_t kSamples = 9;

std::uint64_t thread_count(std::uint64_t pieces) {
    return std::clamp<std::uint64_t>(std::thread::hardware_concurrency(), 1,
                                     std::min<std::uint64_t>(kMostThreads, pieces));
}

std::uint32_t digest_piece(const GuestMemory& memory, std::uint64_t index) {
    const std::uint64_t offset = index * kDigestBytes;
    return crc32c({memory.host(RamOffset{offset}), std::min(kDigestBytes, memory.size() - offset)});
}
} // namespace

Result<std::vector<std::uint32_t>> digest_ram(const GuestMemory& memory, const Cancel* cancel) {
    std::vector<std::uint32_t> digests(digest_count(memory.size()));
    std::atomic<std::uint64_t> next{0};
    const auto work = [&] {
        for (std::uint64_t index = next++; index < digests.size(); index = next++) {
            if (cancel != nullptr && cancel->requested())
                return;
            digests[index] = digest_piece(memory, index);
        }
    };
    {
        const std::uint64_t threads = thread_count(digests.size());
        std::vector<std::jthread> helpers;
        for (std::uint64_t i = 1; i < threads; ++i)
            helpers.emplace_back([&] {
                sandbox::enter(sandbox::Role::Worker);
                work();
            });
        work();
    }
    if (cancel != nullptr && cancel->requested())
        return cancel->error();
    return digests;
}

std::chrono::microseconds forecast_digest(const GuestMemory& memory) {
    using Clock = std::chrono::steady_clock;
    const std::uint64_t pieces = digest_count(memory.size());
    std::vector<Clock::duration> times;
    for (std::uint64_t sample = 0; sample < kSamples; ++sample) {
        const auto begin = Clock::now();
        (void)digest_piece(memory, pieces * sample / kSamples);
        times.push_back(Clock::now() - begin);
    }
    // The one in the middle: a thread may lose its CPU for longer than a piece takes.
    std::ranges::nth_element(times, times.begin() + kSamples / 2);
    return std::chrono::ceil<std::chrono::microseconds>(times[kSamples / 2] * pieces / thread_count(pieces));
}

} // namespace godwit::migration
