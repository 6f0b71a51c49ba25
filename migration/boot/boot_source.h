// SPDX-License-Identifier: Apache-2.0
//
// What a guest is booted with, as bytes and not as files: it goes wherever the guest goes, so that the guest
// can reboot there. Values; any thread.
#pragma once

#include "vmm/base/blob.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace godwit::migration {

inline constexpr std::size_t kMaxBootCommandLine = std::size_t{64} << 10;

struct BootSource {
    Blob kernel;                // not empty
    std::optional<Blob> initrd; // not empty
    std::string command_line;   // no zero byte
    // For texts: "'/boot/vmlinuz'".
    std::string kernel_name = "that came with the guest";
    std::string initrd_name = "that came with the guest";

    std::uint64_t bytes() const {
        return kernel.size() + (initrd ? initrd->size() : 0) + command_line.size();
    }
};

// Shared by whoever sends, saves or boots it; null where nobody knows what the guest is booted with.
using BootSourcePtr = std::shared_ptr<const BootSource>;

} // namespace godwit::migration
