// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/state/vcpu_image.h"

#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/msr_index.h"

#include <algorithm>
#include <cstring>

namespace godwit::kvm {

namespace {

bool has_sregs2(const Vcpu& vcpu) {
    return vcpu.vm().kvm().extension(KVM_CAP_SREGS2) != 0;
}
bool has_xcrs(const Vcpu& vcpu) {
    return vcpu.vm().kvm().extension(KVM_CAP_XCRS) != 0;
}

// kvm_sregs2 is kvm_sregs with the PDPTRs in place of the interrupt bitmap, which VCPU_EVENTS also tells.
constexpr std::size_t kSharedSregs = offsetof(kvm_sregs, interrupt_bitmap);
static_assert(offsetof(kvm_sregs2, flags) == kSharedSregs);

Status capture_sregs(const Vcpu& vcpu, VcpuImage& image) {
    if (!has_sregs2(vcpu)) {
        TRY(KVM_CONTROL(vcpu.fd(), KVM_GET_SREGS, &image.sregs));
        return {};
    }
    kvm_sregs2 sregs{};
    TRY(KVM_CONTROL(vcpu.fd(), KVM_GET_SREGS2, &sregs));
    std::memcpy(&image.sregs, &sregs, kSharedSregs);
    if ((sregs.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID) != 0)
        std::ranges::copy(sregs.pdptrs, image.pdptrs.emplace().begin());
    return {};
}

Status apply_sregs(const Vcpu& vcpu, const VcpuImage& image) {
    if (!has_sregs2(vcpu)) {
        kvm_sregs sregs = image.sregs;
        std::memset(sregs.interrupt_bitmap, 0, sizeof sregs.interrupt_bitmap);
        TRY(KVM_CONTROL(vcpu.fd(), KVM_SET_SREGS, &sregs));
        return {};
    }
    kvm_sregs2 sregs{};
    std::memcpy(&sregs, &image.sregs, kSharedSregs);
    if (image.pdptrs.has_value()) {
        sregs.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
        std::ranges::copy(*image.pdptrs, sregs.pdptrs);
    }
    TRY(KVM_CONTROL(vcpu.fd(), KVM_SET_SREGS2, &sregs));
    return {};
}

// The guest's wall clock structure is written by KVM when the register is set. Guest RAM has arrived as it
// was, so it is put back.
class WallClockGuard {
  public:
    WallClockGuard(GuestMemory& memory, std::uint64_t register_value) : memory_(memory), at_{register_value} {
        kept_ = register_value != 0 && memory_.read(at_, bytes_).ok();
    }
    ~WallClockGuard() {
        if (kept_)
            (void)memory_.write(at_, std::span<const std::byte>{bytes_});
    }
    WallClockGuard(const WallClockGuard&) = delete;
    WallClockGuard& operator=(const WallClockGuard&) = delete;

  private:
    GuestMemory& memory_;
    Gpa at_;
    std::array<std::byte, 12> bytes_{}; // struct pvclock_wall_clock
    bool kept_ = false;
};

// Only what differs is written: registers that merely tell something refuse a write even of their own value.
Status apply_msrs(const Vcpu& vcpu, const VcpuImage& image, bool with_tsc) {
    std::vector<MsrValue> current = image.msrs;
    TRY(read_msrs(vcpu.fd(), current));
    std::vector<MsrValue> values;
    for (std::size_t i = 0; i < current.size(); ++i) {
        const MsrValue& wanted = image.msrs[i];
        switch (wanted.index) {
        case msr::kApicBase: // with the LAPIC
        case msr::kTscDeadline:
        case msr::kMcgCap: // fixed by KVM_X86_SETUP_MCE
            break;
        case msr::kTsc:
            if (with_tsc)
                values.push_back(wanted);
            break;
        default:
            if (wanted.value != current[i].value)
                values.push_back(wanted);
        }
    }
    const WallClockGuard guard{vcpu.vm().memory(), image.msr(msr::kKvmWallClock).value_or(0)};
    return write_msrs(vcpu.fd(), values);
}

Status apply(const Vcpu& vcpu, const VcpuImage& image, bool with_tsc) {
    const int fd = vcpu.fd();
    // ioctls want pointers to non-const.
    VcpuImage copy = image;
    TRY(apply_sregs(vcpu, image));
    TRY(KVM_CONTROL(fd, KVM_SET_REGS, &copy.regs));
    if (image.xcr0.has_value()) {
        kvm_xcrs xcrs{};
        xcrs.nr_xcrs = 1;
        xcrs.xcrs[0].value = *image.xcr0;
        TRY(KVM_CONTROL(fd, KVM_SET_XCRS, &xcrs));
    }
    TRY(KVM_CONTROL(fd, KVM_SET_XSAVE, copy.xsave.data()));
    TRY(KVM_CONTROL(fd, KVM_SET_DEBUGREGS, &copy.debug));
    TRY(apply_msrs(vcpu, image, with_tsc));
    TRY(KVM_CONTROL(fd, KVM_SET_VCPU_EVENTS, &copy.events));
    kvm_mp_state mp_state{image.mp_state};
    TRY(KVM_CONTROL(fd, KVM_SET_MP_STATE, &mp_state));
    return {};
}

} // namespace

std::optional<std::uint64_t> VcpuImage::msr(std::uint32_t index) const {
    const auto found = std::ranges::lower_bound(msrs, index, {}, &MsrValue::index);
    if (found == msrs.end() || found->index != index)
        return std::nullopt;
    return found->value;
}

bool VcpuImage::set_msr(std::uint32_t index, std::uint64_t value) {
    const auto found = std::ranges::lower_bound(msrs, index, {}, &MsrValue::index);
    if (found == msrs.end() || found->index != index)
        return false;
    found->value = value;
    return true;
}

XsaveLayout xsave_layout(const CpuidTable& cpuid) {
    XsaveLayout layout;
    if (const CpuidEntry* const leaf = find_leaf(cpuid, 0xd))
        layout.supported = leaf->eax | (std::uint64_t{leaf->edx} << 32);
    for (std::uint32_t component = 2; component < layout.offset.size(); ++component) {
        const CpuidEntry* const leaf = find_leaf(cpuid, 0xd, component);
        const bool usable = leaf != nullptr && leaf->eax != 0 && ((layout.supported >> component) & 1) != 0 &&
                            leaf->ebx + leaf->eax <= sizeof(XsaveArea);
        if (usable)
            layout.offset[component] = leaf->ebx;
    }
    return layout;
}

Result<VcpuImage> capture_image(const Vcpu& vcpu) {
    const int fd = vcpu.fd();
    VcpuImage image;
    // First what makes KVM finish pending work: a start-up interrupt that changes the registers, an
    // exception's effect on CR2 and DR6.
    kvm_mp_state mp_state{};
    TRY(KVM_CONTROL(fd, KVM_GET_MP_STATE, &mp_state));
    image.mp_state = mp_state.mp_state;
    TRY(KVM_CONTROL(fd, KVM_GET_VCPU_EVENTS, &image.events));
    TRY(KVM_CONTROL(fd, KVM_GET_REGS, &image.regs));
    TRY(capture_sregs(vcpu, image));
    TRY(KVM_CONTROL(fd, KVM_GET_XSAVE, image.xsave.data()));
    if (has_xcrs(vcpu)) {
        kvm_xcrs xcrs{};
        TRY(KVM_CONTROL(fd, KVM_GET_XCRS, &xcrs));
        if (xcrs.nr_xcrs > 0)
            image.xcr0 = xcrs.xcrs[0].value;
    }
    TRY(KVM_CONTROL(fd, KVM_GET_DEBUGREGS, &image.debug));
    image.msrs.assign(vcpu.msrs().all().begin(), vcpu.msrs().all().end());
    TRY(read_msrs(fd, image.msrs));
    return image;
}

Status apply_image(const Vcpu& vcpu, const VcpuImage& image) {
    return apply(vcpu, image, true);
}
Status apply_reset_image(const Vcpu& vcpu, const VcpuImage& image) {
    return apply(vcpu, image, false);
}

Result<kvm_lapic_state> capture_lapic(const Vcpu& vcpu) {
    kvm_lapic_state lapic{};
    TRY(KVM_CONTROL(vcpu.fd(), KVM_GET_LAPIC, &lapic));
    return lapic;
}

Status apply_lapic(const Vcpu& vcpu, std::uint64_t apic_base, const kvm_lapic_state& lapic) {
    TRY(write_msrs(vcpu.fd(), std::array{MsrValue{msr::kApicBase, apic_base}}));
    kvm_lapic_state copy = lapic;
    TRY(KVM_CONTROL(vcpu.fd(), KVM_SET_LAPIC, &copy));
    return {};
}

} // namespace godwit::kvm
