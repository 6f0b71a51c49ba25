// SPDX-License-Identifier: Apache-2.0
//
// Direct kernel boot, in three steps: read_files() (boot_files.h) keeps what is booted, for as long as the
// guest lives; prepare() checks and unpacks it. Both need no machine, so that they can run beside the VM's
// set-up. place() puts everything into guest memory and says how to enter. No KVM in here.
#pragma once

#include "migration/boot/boot_source.h"
#include "vmm/base/result.h"
#include "vmm/machine/board.h"
#include "vmm/machine/boot/boot_files.h"
#include "vmm/machine/boot/bzimage.h"
#include "vmm/machine/boot/elf_kernel.h"
#include "vmm/machine/boot/entry.h"
#include "vmm/machine/boot/handover.h"
#include "vmm/machine/boot/image.h"
#include "vmm/machine/e820.h"
#include "vmm/memory/guest_memory.h"

#include <cstdint>
#include <future>
#include <optional>
#include <span>
#include <string>

namespace godwit::boot {

// What the kernel is told of the rest of the machine.
struct Surroundings {
    Gpa rsdp;                                // root of the ACPI tables
    std::span<const E820Entry> reservations; // memory that is not the kernel's
};

struct LoadedKernel {
    EntryState entry;
    Gpa kernel_base;
    std::uint64_t kernel_size; // with zeroed parts; for a bzImage what it uses while it unpacks itself
    std::optional<PlacedInitrd> initrd;
};

// Holds, for a bzImage, the unpacked kernel: drop it when the kernel is placed, prepare again for a reset.
// Any thread, one at a time.
class PreparedKernel {
  public:
    // Precondition: guest memory reads as zero (fresh, or after discard_all()). InvalidInput: what does not
    // fit where.
    Result<LoadedKernel> place(GuestMemory& memory, const Surroundings& surroundings) const;

    // How it will be entered.
    EntryKind kind() const;
    const migration::BootSourcePtr& source() const { return source_; }

  private:
    friend Result<PreparedKernel> prepare(migration::BootSourcePtr source);
    explicit PreparedKernel(migration::BootSourcePtr source)
        : source_(std::move(source)), kernel_(source_->kernel) {}

    Status prepare_bzimage();
    Status check_command_line() const;
    board::Window footprint() const;
    Status check_room(board::Window footprint, const GuestMemory& memory) const;
    Status place_kernel(GuestMemory& memory) const;
    Result<std::optional<PlacedInitrd>> place_initrd(GuestMemory& memory, std::uint64_t kernel_end) const;
    Result<EntryState> place_handover(GuestMemory& memory, const Handover& handover) const;

    migration::BootSourcePtr source_;
    Image kernel_;                   // what elf_ and bzimage_ refer to
    std::optional<BzImage> bzimage_; // the file is one
    std::optional<ElfKernel>
        elf_; // the file, or the bzImage's unpacked kernel; else the bzImage unpacks itself
};

// Errors name the kernel and what is wrong with it. Precondition: not null.
Result<PreparedKernel> prepare(migration::BootSourcePtr source);

// read_files() and prepare() on another thread (on this one, at get(), if there is none to be had).
std::future<Result<PreparedKernel>> prepare_in_background(BootFiles files, std::uint64_t ram_size);

} // namespace godwit::boot
