// SPDX-License-Identifier: Apache-2.0
#include "migration/ram/ram_digest.h"

#include "migration/protocol/crc32c.h"

#include <algorithm>
#include <atomic>
#include <thread>

namespace godwit::migration {

namespace {
// More only wait for memory.
constexpr unsigned kMostThreads = 8;
} // namespace

Result<std::vector<std::uint32_t>> digest_ram(const GuestMemory& memory, const Cancel* cancel) {
    std::vector<std::uint32_t> digests(digest_count(memory.size()));
    std::atomic<std::uint64_t> next{0};
    const auto work = [&] {
        for (std::uint64_t index = next++; index < digests.size(); index = next++) {
            if (cancel != nullptr && cancel->requested())
                return;
            const std::uint64_t offset = index * kDigestBytes;
            digests[index] =
                crc32c({memory.host(RamOffset{offset}), std::min(kDigestBytes, memory.size() - offset)});
        }
    };
    {
        const auto threads = std::clamp<std::uint64_t>(std::thread::hardware_concurrency(), 1,
                                                       std::min<std::uint64_t>(kMostThreads, digests.size()));
        std::vector<std::jthread> helpers;
        for (std::uint64_t i = 1; i < threads; ++i)
            helpers.emplace_back(work);
        work();
    }
    if (cancel != nullptr && cancel->requested())
        return error(ErrorCode::Cancelled, "cancelled");
    return digests;
}

} // namespace godwit::migration
