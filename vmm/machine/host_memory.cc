// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/host_memory.h"

#include "vmm/base/address.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <sys/mman.h>
#include <vector>

namespace godwit {

namespace {

constexpr std::size_t kStep = std::size_t{1} << 30; // of a range, to bound mincore's answer
const std::filesystem::path kGroups = "/sys/fs/cgroup";

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
                                              std::string_view stat) {
    const auto limit = number_in(max); // the word "max" is none
    const auto used = number_in(current);
    if (!limit || !used)
        return std::nullopt;
    const std::uint64_t cached =
        number_after(stat, "inactive_file ").value_or(0) + number_after(stat, "active_file ").value_or(0);
    const std::uint64_t held = *used - std::min(cached, *used);
    return *limit - std::min(held, *limit);
}

std::uint64_t available_memory() {
    std::uint64_t least =
        parse_mem_available(content_of("/proc/meminfo")).value_or(std::numeric_limits<std::uint64_t>::max());
    const std::string membership = content_of("/proc/self/cgroup");
    const std::size_t own = membership.find("0::/");
    if (own == std::string::npos)
        return least;
    const std::string path = membership.substr(own + 4, membership.find('\n', own) - own - 4);
    for (std::filesystem::path group = kGroups / path; group != kGroups && group.has_relative_path();
         group = group.parent_path()) {
        const auto rest =
            parse_group_rest(content_of(group / "memory.max"), content_of(group / "memory.current"),
                             content_of(group / "memory.stat"));
        least = std::min(least, rest.value_or(least));
    }
    return least;
}

} // namespace godwit
