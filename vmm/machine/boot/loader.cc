// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/boot/loader.h"

#include "vmm/base/bytes.h"
#include "vmm/machine/boot/layout.h"
#include "vmm/machine/boot/memory_map.h"
#include "vmm/machine/boot/unpack.h"
#include "vmm/sandbox/sandbox.h"

#include <algorithm>
#include <array>
#include <system_error>

namespace godwit::boot {

namespace {

constexpr std::uint64_t kEntry64Offset =
    0x200; // boot.rst: the 64-bit entry, behind the start of the protected-mode part

// 16-bit code at the reset vector. With EFI compiled in, Linux takes a machine whose ACPI is
// hardware-reduced for one that only EFI can reset, finds none, and turns to the BIOS.
constexpr std::uint8_t kResetAll = 0x6;
constexpr std::array kResetCode{
    std::uint8_t{0xba},
    static_cast<std::uint8_t>(board::kResetControlPort.base),
    static_cast<std::uint8_t>(board::kResetControlPort.base >> 8), // mov dx, 0xcf9
    std::uint8_t{0xb0},
    kResetAll,          // mov al, 6
    std::uint8_t{0xee}, // out dx, al
    std::uint8_t{0xf4}, // again: hlt
    std::uint8_t{0xeb},
    std::uint8_t{0xfd}, // jmp again
};
static_assert(kResetCode.size() <= 16);

} // namespace

Result<PreparedKernel> prepare(migration::BootSourcePtr source) {
    const auto context = fmt::format("kernel {}", source->kernel_name);
    PreparedKernel prepared{std::move(source)};
    if (has_elf_magic(prepared.kernel_))
        prepared.elf_ = TRY_IN(parse_elf(prepared.kernel_), context);
    else if (has_bzimage_magic(prepared.kernel_))
        TRY_IN(prepared.prepare_bzimage(), context);
    else
        return not_a_kernel(prepared.kernel_).in(context);
    TRY(prepared.check_command_line());
    return prepared;
}

std::future<Result<PreparedKernel>> prepare_in_background(BootFiles files, std::uint64_t ram_size) {
    const auto task = [files = std::move(files), ram_size](bool own_thread) -> Result<PreparedKernel> {
        auto read = TRY(read_files(files, ram_size));
        if (own_thread)
            sandbox::enter(sandbox::Role::Boot); // what was read is not trusted
        return prepare(std::move(read));
    };
    try {
        return std::async(std::launch::async, task, true);
    } catch (const std::system_error&) {
        return std::async(std::launch::deferred, task, false);
    }
}

// Unpacking on the host and entering the result saves the guest the slowest part of its boot; a payload that
// we cannot use that way is left to the kernel's own unpacker.
Status PreparedKernel::prepare_bzimage() {
    bzimage_ = TRY(parse_bzimage(kernel_));
    const Mapping file = TRY(source_->kernel.map());
    const std::span<const std::byte> packed =
        file.bytes().subspan(bzimage_->payload_offset, bzimage_->payload_size);
    const bool can_unpack_itself = bzimage_->has_entry64 && bzimage_->kernel_size > kEntry64Offset;
    if (can_unpack_itself && !identify_compression(packed))
        return {};

    if (bzimage_->payload_size == 0)
        return invalid_input("a bzImage without a compressed kernel and without a 64-bit entry");
    Image unpacked{TRY_IN(unpack(packed), "its compressed kernel")};
    if (has_elf_magic(unpacked)) {
        elf_ = TRY_IN(parse_elf(unpacked), "its compressed kernel");
        kernel_ = std::move(unpacked);
        return {};
    }
    if (!can_unpack_itself)
        return invalid_input("its compressed kernel is not an ELF file ({}), and it has no 64-bit entry",
                             first_bytes(unpacked));
    return {};
}

Status PreparedKernel::check_command_line() const {
    std::uint64_t limit = bzimage_ ? bzimage_->command_line_limit : kDefaultCommandLineLimit;
    limit = std::min(limit, kCommandLineRoom - 1);
    const std::string& line = source_->command_line;
    if (line.size() > limit)
        return invalid_input("kernel command line of {} bytes; the kernel {} takes at most {}", line.size(),
                             source_->kernel_name, limit);
    if (line.find('\0') != std::string::npos)
        return invalid_input("kernel command line with a zero byte");
    return {};
}

EntryKind PreparedKernel::kind() const {
    return elf_ && elf_->pvh_entry ? EntryKind::Pvh : EntryKind::Linux64;
}

board::Window PreparedKernel::footprint() const {
    if (elf_)
        return {elf_->begin(), elf_->end() - elf_->begin()};
    return {bzimage_->pref_address, std::max(bzimage_->init_size, bzimage_->kernel_size)};
}

Status PreparedKernel::check_room(board::Window footprint, const GuestMemory& memory) const {
    const std::uint64_t low_ram = memory.regions().front().size;
    if (low_ram < kMinimumRam)
        return invalid_input("{} bytes of RAM; at least {} are needed to boot a kernel", low_ram,
                             kMinimumRam);
    if (footprint.end() < footprint.base || footprint.end() > low_ram)
        return invalid_input("it does not fit in RAM: it needs {:#x} to {:#x}, RAM below 4 GiB ends at {:#x}",
                             footprint.base, footprint.end(), low_ram);
    const auto check = [](board::Window part) -> Status {
        for (const board::Window& taken : {kLoaderArea, board::kLegacyHole})
            if (part.base < taken.end() && part.end() > taken.base)
                return invalid_input("it wants to lie at {:#x} to {:#x}, but {:#x} to {:#x} is not free",
                                     part.base, part.end(), taken.base, taken.end());
        return {};
    };
    if (!elf_)
        return check(footprint);
    for (const ElfSegment& segment : elf_->segments)
        TRY(check({segment.address.value, segment.memory_size}));
    return {};
}

Status PreparedKernel::place_kernel(GuestMemory& memory) const {
    if (!elf_)
        return kernel_.load(bzimage_->kernel_offset, bzimage_->kernel_size, memory,
                            Gpa{bzimage_->pref_address}, "the protected-mode part");
    for (const ElfSegment& segment : elf_->segments)
        TRY(kernel_.load(segment.file_offset, segment.file_size, memory, segment.address, "a segment"));
    return {};
}

// As high as possible, out of the way of whatever the kernel puts behind itself.
Result<std::optional<PlacedInitrd>> PreparedKernel::place_initrd(GuestMemory& memory,
                                                                 std::uint64_t kernel_end) const {
    if (!source_->initrd)
        return std::optional<PlacedInitrd>{};
    const auto context = fmt::format("initrd {}", source_->initrd_name);
    const Image initrd{*source_->initrd};
    const std::uint64_t low_ram = memory.regions().front().size;
    const std::uint64_t top = bzimage_ ? std::min(low_ram, bzimage_->initrd_end) : low_ram;
    // Not under 1 MiB, also for a kernel that lies there.
    const std::uint64_t bottom = align_up(std::max(kernel_end, board::kLegacyHole.end()), kPageSize);
    const std::uint64_t size = initrd.size();
    if (top < bottom || size > top - bottom)
        return invalid_input("{}: {} bytes do not fit in RAM between the kernel's end {:#x} and {:#x}",
                             context, size, bottom, top);
    const Gpa base{(top - size) / kPageSize * kPageSize};
    TRY_IN(initrd.load(0, size, memory, base, "the initrd"), context);
    return std::optional{PlacedInitrd{base, size}};
}

Result<EntryState> PreparedKernel::place_handover(GuestMemory& memory, const Handover& handover) const {
    const std::string& line = source_->command_line;
    TRY(memory.write(kCommandLine, std::as_bytes(std::span{line.c_str(), line.size() + 1})));
    if (kind() == EntryKind::Pvh) {
        TRY(memory.write(kStartInfo, make_start_info(handover)));
        return make_entry(EntryKind::Pvh, *elf_->pvh_entry, memory);
    }
    const std::span<const std::byte> header =
        bzimage_ ? std::span<const std::byte>{bzimage_->setup_header} : std::span<const std::byte>{};
    TRY(memory.write(kZeroPage, make_zero_page(handover, header)));
    const std::uint64_t rip = elf_ ? *elf_->entry64 : bzimage_->pref_address + kEntry64Offset;
    return make_entry(EntryKind::Linux64, rip, memory);
}

Result<LoadedKernel> PreparedKernel::place(GuestMemory& memory, const Surroundings& surroundings) const {
    const auto context = fmt::format("kernel {}", source_->kernel_name);
    Handover handover{kCommandLine, {}, surroundings.rsdp, {}};
    handover.memory_map = TRY(make_memory_map(memory.regions(), surroundings.reservations));
    const board::Window kernel = footprint();
    TRY_IN(check_room(kernel, memory), context);
    TRY_IN(place_kernel(memory), context);
    handover.initrd = TRY(place_initrd(memory, kernel.end()));
    const EntryState entry = TRY(place_handover(memory, handover));
    TRY(memory.write(kResetVector, std::as_bytes(std::span{kResetCode})));
    return LoadedKernel{entry, Gpa{kernel.base}, kernel.size, handover.initrd};
}

} // namespace godwit::boot
