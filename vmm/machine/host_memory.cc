// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/host_memory.h"

#include "vmm/base/address.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <vector>

namespace godwit {

namespace {

constexpr std::size_t kStep = std::size_t{1} << 30; // of a range, to bound mincore's answer

// Names of one version of control groups.
struct GroupFiles {
    const char* folder; // where its hierarchy is mounted
    const char* limit;
    const char* used;
    const char* stat_prefix; // of what counts the groups below it too
};
constexpr GroupFiles kVersion2{"", "memory.max", "memory.current", ""};
constexpr GroupFiles kVersion1{"memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"};

std::string content_of(const std::filesystem::path& path) {
    std::ifstream file{path};
    std::ostringstream text;
    text << file.rdbuf();
    return std::move(text).str();
}

std::optional<std::uint64_t> number_in(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    std::uint64_t number = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    return fault == std::errc{} ? std::optional{number} : std::nullopt;
}

// The number behind a key at the start of a line.
std::optional<std::uint64_t> number_after(std::string_view text, std::string_view key) {
    for (std::size_t at = 0; at < text.size();) {
        const std::string_view line = text.substr(at, text.find('\n', at) - at);
        if (line.starts_with(key))
            return number_in(line.substr(key.size()));
        at += line.size() + 1;
    }
    return std::nullopt;
}

} // namespace

std::uint64_t resident_bytes(std::span<std::byte> range) {
    std::uint64_t pages = 0;
    std::vector<unsigned char> present;
    for (std::size_t at = 0; at < range.size(); at += kStep) {
        const auto part = range.subspan(at, std::min(kStep, range.size() - at));
        present.assign(part.size() / kPageSize, 0);
        if (::mincore(part.data(), part.size(), present.data()) != 0)
            return range.size();
        pages += static_cast<std::uint64_t>(
            std::ranges::count_if(present, [](unsigned char page) { return (page & 1) != 0; }));
    }
    return pages * kPageSize;
}

std::optional<std::uint64_t> parse_mem_available(std::string_view meminfo) {
    const auto kilobytes = number_after(meminfo, "MemAvailable:");
    return kilobytes ? std::optional{*kilobytes * 1024} : std::nullopt;
}

std::optional<std::uint64_t> parse_group_rest(std::string_view max, std::string_view current,
                                              std::string_view stat, std::string_view prefix) {
    const auto limit = number_in(max); // the word "max" is none
    const auto used = number_in(current);
    if (!limit || !used)
        return std::nullopt;
    const auto pages = [&](std::string_view key) {
        return number_after(stat, fmt::format("{}{} ", prefix, key)).value_or(0);
    };
    const std::uint64_t cached = pages("inactive_file") + pages("active_file");
    const std::uint64_t held = *used - std::min(cached, *used);
    return *limit - std::min(held, *limit);
}

std::optional<std::uint64_t> groups_rest(std::string_view membership, const std::filesystem::path& mounted) {
    std::optional<std::uint64_t> least;
    std::istringstream lines{std::string{membership}};
    for (std::string line; std::getline(lines, line);) {
        // "0::/a/b" of version 2; "5:cpu,memory:/a/b" of version 1.
        const std::size_t controllers = line.find(':') + 1, path = line.find(":/");
        if (controllers == 0 || path == std::string::npos || path < controllers)
            continue;
        const std::string names = line.substr(controllers, path - controllers);
        const bool old = fmt::format(",{},", names).find(",memory,") != std::string::npos;
        if (!old && !names.empty())
            continue;
        const auto& files = old ? kVersion1 : kVersion2;
        const std::filesystem::path root = mounted / files.folder;
        // In a container the root is its own group, and its path may be one of the host's.
        std::filesystem::path group = std::filesystem::path{line.substr(path + 1)}.relative_path();
        while (true) {
            const auto rest = parse_group_rest(content_of(root / group / files.limit),
                                               content_of(root / group / files.used),
                                               content_of(root / group / "memory.stat"), files.stat_prefix);
            if (rest)
                least = std::min(least.value_or(*rest), *rest);
            if (group.empty())
                break;
            group = group.parent_path();
        }
    }
    return least;
}

std::uint64_t available_memory() {
    const auto host = parse_mem_available(content_of("/proc/meminfo"));
    const auto groups = groups_rest(content_of("/proc/self/cgroup"), "/sys/fs/cgroup");
    constexpr auto kUnknown = std::numeric_limits<std::uint64_t>::max();
    return std::min(host.value_or(kUnknown), groups.value_or(kUnknown));
}

} // namespace godwit
