// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/boot/memory_map.h"

#include "vmm/machine/board.h"

#include <algorithm>

namespace godwit::boot {

namespace {

// What is left of RAM entries when [base, base + size) is taken out.
std::vector<E820Entry> without(const std::vector<E820Entry>& ram, std::uint64_t base, std::uint64_t size) {
    std::vector<E820Entry> left;
    for (const E820Entry& entry : ram) {
        const std::uint64_t begin = entry.base.value;
        const std::uint64_t end = begin + entry.size;
        const std::uint64_t cut = std::clamp(base, begin, end);
        const std::uint64_t resume = std::clamp(base + size, begin, end);
        if (cut > begin)
            left.push_back({entry.base, cut - begin, E820Type::Ram});
        if (end > resume)
            left.push_back({Gpa{resume}, end - resume, E820Type::Ram});
    }
    return left;
}

} // namespace

Result<std::vector<E820Entry>> make_memory_map(std::span<const RamRegion> ram,
                                               std::span<const E820Entry> reservations) {
    std::vector<E820Entry> map;
    for (const RamRegion& region : ram)
        map.push_back({region.base, region.size, E820Type::Ram});

    std::vector<E820Entry> reserved(reservations.begin(), reservations.end());
    for (const board::Window& window : {board::kFirmwareAlias, board::kPcieEcam, board::kKvmPrivate})
        reserved.push_back({Gpa{window.base}, window.size, E820Type::Reserved});

    map = without(map, board::kLegacyHole.base, board::kLegacyHole.size);
    for (const E820Entry& entry : reserved)
        map = without(map, entry.base.value, entry.size);
    map.insert(map.end(), reserved.begin(), reserved.end());
    std::ranges::sort(map, {}, &E820Entry::base);

    for (std::size_t i = 1; i < map.size(); ++i)
        if (map[i].base.value < map[i - 1].base.value + map[i - 1].size)
            return error(ErrorCode::Internal, "two entries of the memory map overlap at {}", map[i].base);
    if (map.size() > kMaxMemoryMap)
        return error(ErrorCode::Internal, "{} entries in the memory map; {} fit", map.size(), kMaxMemoryMap);
    return map;
}

} // namespace godwit::boot
