// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/boot_state.h"

#include "vmm/kvm/efer.h"
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"

namespace godwit::kvm {

namespace {

// Intel SDM volume 3, sections 2.5 and 3.4.5.1.
constexpr std::uint64_t kCr0Pe = 1 << 0, kCr0Et = 1 << 4, kCr0Pg = std::uint64_t{1} << 31;
constexpr std::uint64_t kCr4Pae = 1 << 5;
constexpr std::uint8_t kCodeAccessed = 0xb, kDataAccessed = 0x3, kTssBusy = 0xb;
constexpr std::uint64_t kRflagsFixed = 2;

kvm_segment flat(std::uint16_t selector, std::uint8_t type, bool long_mode) {
    kvm_segment segment{};
    segment.limit = 0xffffffff;
    segment.selector = selector;
    segment.type = type;
    segment.present = 1;
    segment.s = 1;
    segment.g = 1;
    segment.l = long_mode ? 1 : 0;
    segment.db = long_mode ? 0 : 1;
    return segment;
}

void set_data_segments(kvm_sregs& sregs, const kvm_segment& data) {
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
}

void set_task_segments(kvm_sregs& sregs) {
    sregs.tr = {};
    sregs.tr.limit = 0x67;
    sregs.tr.type = kTssBusy;
    sregs.tr.present = 1;
    sregs.ldt = {};
    sregs.ldt.unusable = 1;
}

Status enter(Vcpu& vcpu, const kvm_regs& regs, const kvm_sregs& sregs) {
    kvm_regs new_regs = regs;
    kvm_sregs new_sregs = sregs;
    TRY(KVM_CONTROL(vcpu.fd(), KVM_SET_SREGS, &new_sregs));
    TRY(KVM_CONTROL(vcpu.fd(), KVM_SET_REGS, &new_regs));
    // Whatever was about to be delivered belongs to the life before.
    kvm_vcpu_events events{};
    events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
    TRY(KVM_CONTROL(vcpu.fd(), KVM_SET_VCPU_EVENTS, &events));
    kvm_mp_state state{KVM_MP_STATE_RUNNABLE};
    TRY(KVM_CONTROL(vcpu.fd(), KVM_SET_MP_STATE, &state));
    return {};
}

} // namespace

Status set_pvh_entry(Vcpu& vcpu, Gpa entry, Gpa start_info) {
    kvm_sregs sregs{};
    TRY(KVM_CONTROL(vcpu.fd(), KVM_GET_SREGS, &sregs));
    sregs.cs = flat(0x8, kCodeAccessed, false);
    set_data_segments(sregs, flat(0x10, kDataAccessed, false));
    set_task_segments(sregs);
    sregs.gdt = {};
    sregs.idt = {};
    sregs.cr0 = kCr0Pe | kCr0Et;
    sregs.cr3 = sregs.cr4 = sregs.efer = 0;
    kvm_regs regs{};
    regs.rip = entry.value;
    regs.rbx = start_info.value;
    regs.rflags = kRflagsFixed;
    return enter(vcpu, regs, sregs);
}

Status set_linux64_entry(Vcpu& vcpu, const LinuxEntry& entry) {
    kvm_sregs sregs{};
    TRY(KVM_CONTROL(vcpu.fd(), KVM_GET_SREGS, &sregs));
    sregs.cs = flat(0x10, kCodeAccessed, true);
    kvm_segment data = flat(0x18, kDataAccessed, false);
    set_data_segments(sregs, data);
    set_task_segments(sregs);
    sregs.gdt = {};
    sregs.gdt.base = entry.gdt.value;
    sregs.gdt.limit = sizeof kBootGdt - 1;
    sregs.idt = {};
    sregs.cr0 = kCr0Pe | kCr0Et | kCr0Pg;
    sregs.cr3 = entry.page_tables.value;
    sregs.cr4 = kCr4Pae;
    sregs.efer = efer::kLme | efer::kLma;
    kvm_regs regs{};
    regs.rip = entry.entry.value;
    regs.rsi = entry.zero_page.value;
    regs.rsp = regs.rbp = entry.stack.value;
    regs.rflags = kRflagsFixed;
    return enter(vcpu, regs, sregs);
}

} // namespace godwit::kvm
