// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/assist/assist.h"

#include "vmm/kvm/assist/instructions.h"
#include "vmm/kvm/efer.h"
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"

#include <algorithm>
#include <cstring>

namespace godwit::kvm {

namespace {

constexpr std::uint32_t kMsrTsc = 0x10;
constexpr std::uint32_t kMsrTscAux = 0xc0000103;
constexpr std::size_t kMaxInstruction = 15;

// kvm_regs and the order of encoding.
constexpr __u64 kvm_regs::*kGpr[16] = {&kvm_regs::rax, &kvm_regs::rcx, &kvm_regs::rdx, &kvm_regs::rbx,
                                       &kvm_regs::rsp, &kvm_regs::rbp, &kvm_regs::rsi, &kvm_regs::rdi,
                                       &kvm_regs::r8,  &kvm_regs::r9,  &kvm_regs::r10, &kvm_regs::r11,
                                       &kvm_regs::r12, &kvm_regs::r13, &kvm_regs::r14, &kvm_regs::r15};

struct Registers {
    kvm_regs general{};
    kvm_sregs special{};

    static Result<Registers> read(int vcpu_fd) {
        Registers registers;
        TRY(KVM_CONTROL(vcpu_fd, KVM_GET_REGS, &registers.general));
        TRY(KVM_CONTROL(vcpu_fd, KVM_GET_SREGS, &registers.special));
        return registers;
    }
    bool in_64_bit_mode() const {
        return (special.efer & efer::kLma) != 0 && special.cs.l != 0 && (special.cr0 & cr0::kPg) != 0;
    }
};

CpuImage image_of(const Registers& registers) {
    CpuImage image;
    for (std::size_t i = 0; i < image.gpr.size(); ++i)
        image.gpr[i] = registers.general.*kGpr[i];
    image.rip = registers.general.rip;
    image.rflags = registers.general.rflags;
    image.cr0 = registers.special.cr0;
    image.cr2 = registers.special.cr2;
    image.cr3 = registers.special.cr3;
    image.cr4 = registers.special.cr4;
    image.efer = registers.special.efer;
    image.fs_base = registers.special.fs.base;
    image.gs_base = registers.special.gs.base;
    image.cpl = registers.special.ss.dpl;
    return image;
}

Status read_tsc(int vcpu_fd, CpuImage& image) {
    Counted<kvm_msrs, kvm_msr_entry> list{2};
    list.header()->nmsrs = 2;
    list.data()[0].index = kMsrTsc;
    list.data()[1].index = kMsrTscAux;
    if (TRY(KVM_CONTROL(vcpu_fd, KVM_GET_MSRS, list.header())) != 2)
        return error(ErrorCode::System, "KVM_GET_MSRS: IA32_TSC and IA32_TSC_AUX cannot be read");
    image.tsc = list.data()[0].data;
    image.tsc_aux = static_cast<std::uint32_t>(list.data()[1].data);
    return {};
}

Status read_xsave(int vcpu_fd, CpuImage& image) {
    image.xsave.resize(sizeof(kvm_xsave));
    TRY(KVM_CONTROL(vcpu_fd, KVM_GET_XSAVE, image.xsave.data()));
    kvm_xcrs xcrs{};
    TRY(KVM_CONTROL(vcpu_fd, KVM_GET_XCRS, &xcrs));
    for (std::uint32_t i = 0; i < std::min<std::uint32_t>(xcrs.nr_xcrs, KVM_MAX_XCRS); ++i)
        if (xcrs.xcrs[i].xcr == 0)
            image.xcr0 = xcrs.xcrs[i].value;
    return {};
}

} // namespace

std::span<const std::byte> failed_instruction(const kvm_run& run) {
    const auto& failure = run.emulation_failure;
    // ndata counts 64-bit words; flags is the first, the length and the bytes are the next two.
    if (failure.ndata < 3 || (failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) == 0)
        return {};
    const std::size_t size = std::min<std::size_t>(failure.insn_size, sizeof failure.insn_bytes);
    return std::as_bytes(std::span{failure.insn_bytes}).first(size);
}

DecodedText disassemble(int vcpu_fd, std::span<const std::byte> bytes) {
    const auto registers = Registers::read(vcpu_fd);
    if (!registers.ok())
        return {};
    const CodeSize size = registers->in_64_bit_mode()     ? CodeSize::Bits64
                          : registers->special.cs.db != 0 ? CodeSize::Bits32
                                                          : CodeSize::Bits16;
    const auto instruction = Instruction::decode(bytes, size);
    if (!instruction)
        return {};
    return {instruction->text(registers->general.rip), instruction->length()};
}

Result<bool> EmulationAssist::complete(const kvm_run& run) {
    const Registers registers = TRY(Registers::read(vcpu_fd_));
    if (!registers.in_64_bit_mode())
        return false;
    CpuImage image = image_of(registers);
    LinearMemory memory{memory_, image};
    std::array<std::byte, kMaxInstruction> fetched{};
    std::span<const std::byte> bytes = failed_instruction(run);
    if (bytes.empty()) {
        // An instruction may end right before a page that is not there.
        const std::size_t on_page = kPageSize - image.rip % kPageSize;
        const auto all = std::span{fetched};
        const auto first = all.first(std::min(on_page, kMaxInstruction));
        if (memory.read(image.rip, first) != Reached::Done)
            return false;
        const auto rest = all.subspan(first.size());
        const bool more = memory.read(image.rip + first.size(), rest) == Reached::Done;
        image.raised.reset();
        bytes = more ? all : first;
    }
    const auto instruction = Instruction::decode(bytes, CodeSize::Bits64);
    const AssistedInstruction* const known = instruction ? assisted(instruction->mnemonic()) : nullptr;
    if (known == nullptr)
        return false;
    if (known->needs == Needs::Tsc)
        TRY(read_tsc(vcpu_fd_, image));
    if (known->needs == Needs::Xsave)
        TRY(read_xsave(vcpu_fd_, image));
    const CpuImage before = image;
    if (carry_out(*known, {*instruction, layout_, image, memory}) == Carried::NotOurs)
        return false;
    TRY(give_back(before, image));
    ++completed_;
    return true;
}

Status EmulationAssist::give_back(const CpuImage& before, const CpuImage& after) {
    kvm_regs general{};
    for (std::size_t i = 0; i < after.gpr.size(); ++i)
        general.*kGpr[i] = after.gpr[i];
    general.rip = after.rip;
    general.rflags = after.rflags;
    TRY(KVM_CONTROL(vcpu_fd_, KVM_SET_REGS, &general));
    if (after.cr2 != before.cr2 || after.flush_tlb)
        TRY(set_control_registers(after));
    if (after.xcr0_changed) {
        kvm_xcrs xcrs{};
        xcrs.nr_xcrs = 1;
        xcrs.xcrs[0].value = after.xcr0;
        TRY(KVM_CONTROL(vcpu_fd_, KVM_SET_XCRS, &xcrs));
    }
    if (after.xsave_changed)
        TRY(KVM_CONTROL(vcpu_fd_, KVM_SET_XSAVE, const_cast<std::byte*>(after.xsave.data())));
    if (after.raised)
        return raise(*after.raised);
    return {};
}

Status EmulationAssist::set_control_registers(const CpuImage& image) {
    kvm_sregs special{};
    TRY(KVM_CONTROL(vcpu_fd_, KVM_GET_SREGS, &special));
    special.cr2 = image.cr2;
    if (image.flush_tlb) {
        // KVM forgets all translations when CR4 changes, and does not when it is set to what it was.
        kvm_sregs other = special;
        other.cr4 ^= cr4::kPge;
        TRY(KVM_CONTROL(vcpu_fd_, KVM_SET_SREGS, &other));
    }
    TRY(KVM_CONTROL(vcpu_fd_, KVM_SET_SREGS, &special));
    return {};
}

Status EmulationAssist::raise(const CpuException& what) {
    kvm_vcpu_events events{};
    TRY(KVM_CONTROL(vcpu_fd_, KVM_GET_VCPU_EVENTS, &events));
    events.exception.injected = 1;
    events.exception.nr = what.vector;
    events.exception.has_error_code = what.error_code ? 1 : 0;
    events.exception.error_code = what.error_code.value_or(0);
    TRY(KVM_CONTROL(vcpu_fd_, KVM_SET_VCPU_EVENTS, &events));
    return {};
}

} // namespace godwit::kvm
