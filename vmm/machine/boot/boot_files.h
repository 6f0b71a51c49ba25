// SPDX-License-Identifier: Apache-2.0
//
// What is booted, out of its files and into memory, once: whatever becomes of the files, the guest reboots
// with what it was booted with, and takes it along when it moves. Any thread.
#pragma once

#include "migration/boot/boot_source.h"
#include "vmm/base/result.h"

#include <cstdint>
#include <optional>
#include <string>

namespace godwit::boot {

struct BootFiles {
    std::string kernel;                // path: ELF or bzImage
    std::optional<std::string> initrd; // path
    std::string command_line;
};

// All of a regular file, which is not empty and has at most `most` bytes. `part` is what it holds, for texts.
Result<Blob> keep_file(const std::string& path, const char* part, std::uint64_t most);

// Of the kernel as much as boots: the debug information behind it is not kept. Nothing can be larger than the
// RAM that it goes into. Errors name the file and what is wrong with it.
Result<migration::BootSourcePtr> read_files(const BootFiles& files, std::uint64_t ram_size);

} // namespace godwit::boot
