// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/boot/bzimage.h"

#include "vmm/base/bytes.h"
#include "vmm/machine/boot/setup_header.h"

#include <algorithm>
#include <array>

namespace godwit::boot {

namespace {

// Offsets in the file, boot.rst.
constexpr std::size_t kSetupSectors = 0x1f1;
constexpr std::size_t kSystemSize = 0x1f4; // in units of 16 bytes
constexpr std::size_t kJumpLength = 0x201; // the header ends that far behind 0x202
constexpr std::size_t kInitrdAddressMax = 0x22c;
constexpr std::size_t kXLoadFlags = 0x236;
constexpr std::size_t kCommandLineSize = 0x238;
constexpr std::size_t kPayloadOffset = 0x248;
constexpr std::size_t kPayloadLength = 0x24c;
constexpr std::size_t kPrefAddress = 0x258;
constexpr std::size_t kInitSize = 0x260;
constexpr std::size_t kHeaderEndOf212 = 0x268; // handover_offset is the last field of protocol 2.11 and 2.12
constexpr std::size_t kHeaderEndMax = 0x290;   // what the zero page has room for

constexpr std::uint32_t kHdrS = 0x53726448;
constexpr std::uint16_t kBootFlagValue = 0xaa55;
constexpr std::uint16_t kOldestVersion = 0x020c;
constexpr std::uint16_t kKernel64 = 1;
constexpr std::uint64_t kSector = 512;
constexpr std::uint64_t kParagraph = 16;

} // namespace

bool has_bzimage_magic(const Image& image) {
    std::array<std::byte, 4> magic{};
    return image.size() >= kMagic + magic.size() && image.read(kMagic, magic, "magic").ok() &&
           load_le<std::uint32_t>(magic) == kHdrS;
}

Result<BzImage> parse_bzimage(const Image& image) {
    std::array<std::byte, kHeaderEndMax> start{};
    TRY(image.read(0, start, "the setup header"));
    const std::span<const std::byte> file{start};

    if (load_le<std::uint16_t>(file.subspan(kBootFlag)) != kBootFlagValue)
        return invalid_input("setup header without boot flag {:#x}", kBootFlagValue);
    const auto version = load_le<std::uint16_t>(file.subspan(kVersion));
    if (version < kOldestVersion)
        return invalid_input("boot protocol {}.{:02}; at least 2.12 (Linux 3.8) is needed", version >> 8,
                             version & 0xff);
    const std::size_t header_end = kMagic + std::to_integer<std::size_t>(file[kJumpLength]);
    if (header_end < kHeaderEndOf212 || header_end > kHeaderEndMax)
        return invalid_input("setup header ends at {:#x}, outside of {:#x} to {:#x}", header_end,
                             kHeaderEndOf212, kHeaderEndMax);
    if ((std::to_integer<std::uint8_t>(file[kLoadFlags]) & kLoadedHigh) == 0)
        return invalid_input("a zImage (loaded below 1 MiB), not a bzImage");

    BzImage kernel{};
    kernel.version = version;
    kernel.setup_header.assign(start.begin() + kSetupHeaderAt,
                               start.begin() + static_cast<std::ptrdiff_t>(header_end));

    // Zero means four, for kernels older than any that gets here; the documentation keeps the rule.
    const auto sectors = std::to_integer<std::uint64_t>(file[kSetupSectors]);
    kernel.kernel_offset = ((sectors == 0 ? 4 : sectors) + 1) * kSector;
    const std::uint64_t stated = load_le<std::uint32_t>(file.subspan(kSystemSize)) * kParagraph;
    TRY(image.check_range(kernel.kernel_offset, 0, "the setup part"));
    // The stated size is rounded up; the file need not be.
    const std::uint64_t present = std::min(stated, image.size() - kernel.kernel_offset);
    if (present + kParagraph <= stated)
        TRY(image.check_range(kernel.kernel_offset, stated, "the protected-mode part"));
    kernel.kernel_size = present;

    const std::uint64_t payload_offset = load_le<std::uint32_t>(file.subspan(kPayloadOffset));
    kernel.payload_offset = kernel.kernel_offset + payload_offset;
    kernel.payload_size = load_le<std::uint32_t>(file.subspan(kPayloadLength));
    TRY(image.check_range(kernel.payload_offset, kernel.payload_size, "the compressed kernel"));
    kernel.file_end =
        std::max(kernel.kernel_offset + kernel.kernel_size, kernel.payload_offset + kernel.payload_size);

    kernel.has_entry64 = (load_le<std::uint16_t>(file.subspan(kXLoadFlags)) & kKernel64) != 0;
    kernel.pref_address = load_le<std::uint64_t>(file.subspan(kPrefAddress));
    kernel.init_size = load_le<std::uint32_t>(file.subspan(kInitSize));
    kernel.command_line_limit = load_le<std::uint32_t>(file.subspan(kCommandLineSize));
    kernel.initrd_end = std::uint64_t{load_le<std::uint32_t>(file.subspan(kInitrdAddressMax))} + 1;
    return kernel;
}

} // namespace godwit::boot
