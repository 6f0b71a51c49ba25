// SPDX-License-Identifier: Apache-2.0
//
// Constants of QEMU's migration stream, version 3: migration/savevm.h, migration/ram.c of QEMU 7.2. All
// integers of the container are big-endian and nothing is aligned.
//
//     stream  := magic version configuration item* EOF description?
//     item    := START | PART | END | FULL, each closed by a footer
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace godwit::migration::wire {

inline constexpr std::uint32_t kMagic = 0x5145564d; // "QEVM"
inline constexpr std::uint32_t kVersion = 3;

enum class Item : std::uint8_t {
    Eof = 0x00,
    SectionStart = 0x01, // id, name, instance, version, body
    SectionPart = 0x02,  // id, body
    SectionEnd = 0x03,   // id, body
    SectionFull = 0x04,  // id, name, instance, version, body
    Subsection = 0x05,
    Description = 0x06,
    Configuration = 0x07,
    Command = 0x08,
    SectionFooter = 0x7e, // id
};

inline constexpr std::string_view kMachineName = "microvm"; // the type name without "-machine"
inline constexpr std::string_view kGlobalStateName = "globalstate";

// The RAM section. Section id 0 would be taken for another section by QEMU's reader.
inline constexpr std::string_view kRamSection = "ram";
inline constexpr std::string_view kRamBlock = "microvm.ram";
inline constexpr std::uint32_t kRamSectionId = 2;
inline constexpr std::uint32_t kRamVersion = 4;

// Low 12 bits of each record word of a RAM section.
namespace ram_flag {
inline constexpr std::uint64_t kZero = 0x002;     // page filled with the one byte that follows
inline constexpr std::uint64_t kMemSize = 0x004;  // block list; the word's high bits are the total size
inline constexpr std::uint64_t kPage = 0x008;     // 4096 bytes follow
inline constexpr std::uint64_t kEos = 0x010;      // end of this section's body
inline constexpr std::uint64_t kContinue = 0x020; // same block as the page record before
inline constexpr std::uint64_t kMask = 0xfff;
} // namespace ram_flag

// What only godwit writes into the description, as a member that QEMU's readers pass over.
inline constexpr std::string_view kNotesKey = "godwit";
inline constexpr std::string_view kCpuKey = "cpu";     // within it
inline constexpr std::string_view kGuestKey = "guest"; // within it

// What a reader accepts. The peer is hostile: every length is compared with one of these first.
inline constexpr std::size_t kMaxNameLength = 127; // QEMU's analysis script reads the length as signed
inline constexpr std::size_t kMaxStateBytes = std::size_t{64} << 20;
inline constexpr std::size_t kMaxDescriptionBytes = std::size_t{16} << 20;
inline constexpr std::uint32_t kMaxCapabilities = 64;
inline constexpr std::size_t kMaxRamBlocks = 64;

} // namespace godwit::migration::wire
