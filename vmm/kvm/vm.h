// SPDX-License-Identifier: Apache-2.0
//
// One virtual machine: its memory slots, interrupt controllers and doorbells. Reference: Linux
// Documentation/virt/kvm/api.rst, sections 4.1 to 4.36. Any thread, except where said.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/kvm/doorbell.h"
#include "vmm/kvm/irq.h"
#include "vmm/kvm/kvm.h"
#include "vmm/memory/guest_memory.h"

#include <memory>
#include <vector>

namespace godwit::kvm {

// Guest-physical pages that KVM takes for itself on Intel hosts without "unrestricted guest": an identity map
// page and three pages of task state. The memory map shows them to the guest as reserved.
inline constexpr Gpa kReservedPages{0xfeffc000};
inline constexpr std::uint64_t kReservedPagesSize = 0x4000;

// Of a bitmap of dirty pages: slots begin at a word.
inline constexpr std::uint64_t kPagesPerWord = 64;

// A piece of guest RAM as KVM knows it.
struct MemorySlot {
    std::uint32_t id;
    RamRegion region;
    std::uint64_t page_count() const { return region.size / kPageSize; }
    std::uint64_t first_page() const { return region.offset.value / kPageSize; }
};

class Vm {
  public:
    // With all of `memory` mapped and the in-kernel interrupt controllers in their reset state. Both
    // arguments must outlive the VM. A region of RAM must start on a multiple of 64 pages of the block, so
    // that KVM's dirty bitmaps are whole words of ours.
    static Result<std::unique_ptr<Vm>> create(const Kvm& kvm, GuestMemory& memory);

    int fd() const { return fd_.get(); }
    const Kvm& kvm() const { return kvm_; }
    GuestMemory& memory() const { return memory_; }
    std::span<const MemorySlot> slots() const { return slots_; }

    IrqChip& irqs() { return *irqs_; }
    Doorbells& doorbells() { return *doorbells_; }

    // Switches KVM's own log of written pages for all slots; DirtyLog is its only caller. One thread.
    Status set_dirty_logging(bool on);
    // Clearing a page's bit is a call of its own, and all bits are set at the start
    // (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2).
    bool dirty_log_clears_by_hand() const { return manual_protect_; }

  private:
    Vm(const Kvm& kvm, GuestMemory& memory, Fd fd) : kvm_(kvm), memory_(memory), fd_(std::move(fd)) {}
    Status set_up_chips();
    Status set_up_memory();
    Status set_slot(const MemorySlot& slot, std::uint32_t flags);

    const Kvm& kvm_;
    GuestMemory& memory_;
    Fd fd_;
    std::vector<MemorySlot> slots_;
    bool manual_protect_ = false;
    std::unique_ptr<IrqChip> irqs_;
    std::unique_ptr<Doorbells> doorbells_;
};

} // namespace godwit::kvm
