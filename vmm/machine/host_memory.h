// SPDX-License-Identifier: Apache-2.0
//
// Memory of the host: how much of a range takes some up, and how much could still be had. References:
// proc(5), Linux Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace godwit {

// Bytes of a page-aligned range of ours that are in memory.
std::uint64_t resident_bytes(std::span<std::byte> range);

// Bytes that this process could still touch: what the host has, and what its control groups leave, the least
// of them. The largest number when nothing tells.
std::uint64_t available_memory();

// The parts of available_memory(). "MemAvailable:   2048 kB" in the text of /proc/meminfo, in bytes.
std::optional<std::uint64_t> parse_mem_available(std::string_view meminfo);
// What a control group leaves, given its limit, what it uses, and its memory.stat, where the keys of a whole
// hierarchy begin with `prefix`; nothing when it has no limit. Cached file pages can be had back and count as
// free.
std::optional<std::uint64_t> parse_group_rest(std::string_view max, std::string_view current,
                                              std::string_view stat, std::string_view prefix = "");
// The least that the groups of a process leave, given its /proc/PID/cgroup, of either version, and where they
// are mounted. Nothing when none has a limit.
std::optional<std::uint64_t> groups_rest(std::string_view membership, const std::filesystem::path& mounted);

} // namespace godwit
