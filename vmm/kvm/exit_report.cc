// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/exit_report.h"

#include "vmm/kvm/assist/assist.h"
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"

#include <algorithm>

namespace godwit::kvm {

namespace {

constexpr std::uint32_t kExitMemoryFault = 39; // KVM_EXIT_MEMORY_FAULT of newer headers

// "rip 0x1234, 64-bit mode, CPL 0".
std::string where(int vcpu_fd) {
    kvm_regs regs{};
    kvm_sregs sregs{};
    if (::ioctl(vcpu_fd, KVM_GET_REGS, &regs) != 0 || ::ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) != 0)
        return "registers not readable";
    const bool protected_mode = (sregs.cr0 & 1) != 0;
    const bool long_mode = (sregs.efer & 0x400) != 0;
    if (!protected_mode)
        return fmt::format("cs:ip {:#x}:{:#x}, real mode", sregs.cs.selector, regs.rip);
    const std::string_view mode = long_mode && sregs.cs.l ? "64-bit mode"
                                  : sregs.cs.db           ? "32-bit mode"
                                                          : "16-bit protected mode";
    return fmt::format("rip {:#x}, {}, CPL {}", regs.rip, mode, sregs.ss.dpl);
}

// "popcnt rax, rbx (f3 48 0f b8 c3)".
std::string instruction(int vcpu_fd, const kvm_run& run) {
    const auto bytes = failed_instruction(run);
    if (bytes.empty())
        return "bytes not told";
    const DecodedText decoded = disassemble(vcpu_fd, bytes);
    const std::size_t length = decoded.length != 0 ? decoded.length : bytes.size();
    std::string text;
    for (const std::byte byte : bytes.first(length))
        text += fmt::format("{}{:02x}", text.empty() ? "" : " ", std::to_integer<unsigned>(byte));
    return fmt::format("{} ({})", decoded.length != 0 ? decoded.text : "no known instruction", text);
}

Error internal_error(int vcpu_fd, const kvm_run& run) {
    if (run.internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
        return error(ErrorCode::Guest, "KVM cannot emulate the instruction at {}: {}", where(vcpu_fd),
                     instruction(vcpu_fd, run));
    std::string data;
    const std::size_t count = std::min<std::size_t>(run.internal.ndata, std::size(run.internal.data));
    for (std::size_t i = 0; i < count; ++i)
        data += fmt::format(" {:#x}", std::uint64_t{run.internal.data[i]});
    return error(ErrorCode::Guest, "KVM internal error {} at {}: data{}",
                 std::uint32_t{run.internal.suberror}, where(vcpu_fd), data.empty() ? " none" : data);
}

} // namespace

Error describe_exit(int vcpu_fd, const kvm_run& run) {
    switch (run.exit_reason) {
    case KVM_EXIT_INTERNAL_ERROR:
        return internal_error(vcpu_fd, run);
    case KVM_EXIT_FAIL_ENTRY:
        return error(ErrorCode::Guest, "the CPU refused to enter the guest (reason {:#x}) at {}",
                     std::uint64_t{run.fail_entry.hardware_entry_failure_reason}, where(vcpu_fd));
    case KVM_EXIT_UNKNOWN:
        return error(ErrorCode::Guest, "the CPU left the guest for reason {:#x}, unknown to KVM, at {}",
                     std::uint64_t{run.hw.hardware_exit_reason}, where(vcpu_fd));
    default:
        return error(ErrorCode::Guest, "KVM exit {} is not handled, at {}", std::uint32_t{run.exit_reason},
                     where(vcpu_fd));
    }
}

Error describe_run_failure(int vcpu_fd, const kvm_run& run, int errno_value) {
    Error cause = system_error(errno_value, "KVM_RUN");
    if (errno_value == EHWPOISON)
        cause.text = "KVM_RUN: the guest touched host memory that has a hardware error";
    else if (run.exit_reason == kExitMemoryFault || errno_value == EFAULT)
        cause.text = "KVM_RUN: guest memory is not accessible";
    return error(ErrorCode::System, "{}, at {}", cause.text, where(vcpu_fd));
}

} // namespace godwit::kvm
