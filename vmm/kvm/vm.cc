// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/vm.h"

#include "vmm/base/log.h"
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"

namespace godwit::kvm {

namespace {

// Optional capabilities of a VM: used where they exist, never needed.
bool enable(const Kvm& kvm, int vm_fd, std::uint32_t capability, std::uint64_t argument) {
    if (kvm.extension(static_cast<int>(capability)) == 0)
        return false;
    kvm_enable_cap request{};
    request.cap = capability;
    request.args[0] = argument;
    return ::ioctl(vm_fd, KVM_ENABLE_CAP, &request) == 0;
}

} // namespace

Result<std::unique_ptr<Vm>> Vm::create(const Kvm& kvm, GuestMemory& memory) {
    const int raw = TRY(KVM_CONTROL(kvm.fd(), KVM_CREATE_VM));
    std::unique_ptr<Vm> vm{new Vm{kvm, memory, Fd::adopt(raw)}};
    TRY(vm->set_up_chips());
    TRY(vm->set_up_memory());
    // A triple fault that is pending when the VM is paused is then part of the vCPU's events.
    enable(kvm, vm->fd(), KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1);
    return vm;
}

Status Vm::set_up_chips() {
    if (kvm_.extension(KVM_CAP_SET_IDENTITY_MAP_ADDR) != 0) {
        std::uint64_t address = kReservedPages.value;
        TRY(KVM_CONTROL(fd_.get(), KVM_SET_IDENTITY_MAP_ADDR, &address));
    }
    if (kvm_.extension(KVM_CAP_SET_TSS_ADDR) != 0)
        TRY(KVM_CONTROL(fd_.get(), KVM_SET_TSS_ADDR, kReservedPages.value + kPageSize));
    TRY(KVM_CONTROL(fd_.get(), KVM_CREATE_IRQCHIP));
    irqs_ = TRY(IrqChip::create(fd_.get(), static_cast<std::uint32_t>(kvm_.extension(KVM_CAP_IRQ_ROUTING))));
    doorbells_ = std::make_unique<Doorbells>(fd_.get());
    return {};
}

Status Vm::set_up_memory() {
    const auto wanted =
        static_cast<std::uint64_t>(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
    const auto offered = static_cast<std::uint64_t>(kvm_.extension(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
    // Only the two together: then the first harvest is the whole RAM on every host that clears by hand.
    if ((offered & wanted) == wanted)
        manual_protect_ = enable(kvm_, fd_.get(), KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, wanted);

    for (const RamRegion& region : memory_.regions()) {
        if (region.offset.value % (kPagesPerWord * kPageSize) != 0)
            return invalid_input("guest RAM at {} starts at {}, which is not a multiple of {} KiB",
                                 region.base, region.offset, kPagesPerWord * kPageSize / 1024);
        const MemorySlot slot{static_cast<std::uint32_t>(slots_.size()), region};
        TRY_IN(set_slot(slot, 0), fmt::format("guest RAM of {} bytes at {}", region.size, region.base));
        slots_.push_back(slot);
    }
    return {};
}

Status Vm::set_slot(const MemorySlot& slot, std::uint32_t flags) {
    kvm_userspace_memory_region request{};
    request.slot = slot.id;
    request.flags = flags;
    request.guest_phys_addr = slot.region.base.value;
    request.memory_size = slot.region.size;
    request.userspace_addr = reinterpret_cast<std::uint64_t>(memory_.host(slot.region.offset));
    TRY(KVM_CONTROL(fd_.get(), KVM_SET_USER_MEMORY_REGION, &request));
    return {};
}

Status Vm::set_dirty_logging(bool on) {
    for (const MemorySlot& slot : slots_)
        TRY(set_slot(slot, on ? KVM_MEM_LOG_DIRTY_PAGES : 0));
    return {};
}

} // namespace godwit::kvm
