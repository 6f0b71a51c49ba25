// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/kvm.h"

#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"

#include <array>
#include <fcntl.h>

namespace godwit::kvm {

namespace {

struct Capability {
    int number;
    std::string_view name;
};
#define CAPABILITY(name)                                                                                     \
    Capability {                                                                                             \
        name, #name                                                                                          \
    }
// All are in Linux 4.11 or older: a host that lacks one has no use as a migration peer.
constexpr std::array kRequired{
    CAPABILITY(KVM_CAP_USER_MEMORY),
    CAPABILITY(KVM_CAP_IRQCHIP),
    CAPABILITY(KVM_CAP_IRQ_ROUTING),
    CAPABILITY(KVM_CAP_IRQFD),
    CAPABILITY(KVM_CAP_IOEVENTFD),
    CAPABILITY(KVM_CAP_IOEVENTFD_ANY_LENGTH),
    CAPABILITY(KVM_CAP_IMMEDIATE_EXIT),
    CAPABILITY(KVM_CAP_EXT_CPUID),
    CAPABILITY(KVM_CAP_MP_STATE),
    CAPABILITY(KVM_CAP_VCPU_EVENTS),
    CAPABILITY(KVM_CAP_DEBUGREGS),
    CAPABILITY(KVM_CAP_XSAVE),
    CAPABILITY(KVM_CAP_ADJUST_CLOCK),
    CAPABILITY(KVM_CAP_KVMCLOCK_CTRL),
    CAPABILITY(KVM_CAP_GET_TSC_KHZ),
    CAPABILITY(KVM_CAP_TSC_DEADLINE_TIMER),
    CAPABILITY(KVM_CAP_MCE),
};
#undef CAPABILITY

Error no_device(std::string text) {
    return Error{ErrorCode::NoDevice, std::move(text)};
}

} // namespace

Result<std::unique_ptr<Kvm>> Kvm::open(const std::string& path) {
    const int raw = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (raw < 0) {
        switch (errno) {
        case ENOENT:
        case ENODEV:
        case ENXIO:
            return no_device(
                fmt::format("{} is missing: load the kvm module, or enable virtualization in the firmware "
                            "(or in the hypervisor below)",
                            path));
        case EACCES:
        case EPERM:
            return no_device(
                fmt::format("{} may not be opened by this user: join the group that owns it", path));
        default: {
            Error other = system_error(errno, fmt::format("open '{}'", path));
            return no_device(std::move(other.text));
        }
        }
    }
    std::unique_ptr<Kvm> kvm{new Kvm{Fd::adopt(raw)}};

    const auto version = KVM_CONTROL(kvm->fd(), KVM_GET_API_VERSION);
    if (!version.ok())
        return no_device(fmt::format("{} is not a KVM device", path));
    if (version.value() != KVM_API_VERSION)
        return no_device(fmt::format("{} speaks KVM API version {}, only {} is known", path, version.value(),
                                     KVM_API_VERSION));
    TRY(kvm->check_capabilities());

    kvm->run_size_ = static_cast<std::size_t>(TRY(KVM_CONTROL(kvm->fd(), KVM_GET_VCPU_MMAP_SIZE)));
    const int maximum = kvm->extension(KVM_CAP_MAX_VCPUS);
    kvm->maximum_vcpus_ = maximum > 0 ? static_cast<std::uint32_t>(maximum) : 4;
    TRY(kvm->load_msr_indices());
    return kvm;
}

int Kvm::extension(int capability) const {
    const int value = ::ioctl(fd_.get(), KVM_CHECK_EXTENSION, static_cast<unsigned long>(capability));
    return value < 0 ? 0 : value;
}

Status Kvm::check_capabilities() const {
    std::string missing;
    for (const Capability& capability : kRequired)
        if (extension(capability.number) == 0)
            missing += fmt::format("{}{}", missing.empty() ? "" : ", ", capability.name);
    if (!missing.empty())
        return no_device(fmt::format("this host's KVM lacks {}", missing));
    // A clock that KVM itself calls stable is what lets a guest's kvmclock move without going backwards.
    if ((extension(KVM_CAP_ADJUST_CLOCK) & KVM_CLOCK_TSC_STABLE) == 0)
        return no_device("this host's KVM lacks KVM_CLOCK_TSC_STABLE");
    return {};
}

Status Kvm::load_msr_indices() {
    kvm_msr_list probe{};
    // The first call fails with E2BIG and tells the count.
    if (::ioctl(fd_.get(), KVM_GET_MSR_INDEX_LIST, &probe) < 0 && errno != E2BIG)
        return system_error(errno, "KVM_GET_MSR_INDEX_LIST");
    Counted<kvm_msr_list, __u32> list{probe.nmsrs};
    list.header()->nmsrs = probe.nmsrs;
    TRY(KVM_CONTROL(fd_.get(), KVM_GET_MSR_INDEX_LIST, list.header()));
    const auto entries = list.entries().first(list.header()->nmsrs);
    msr_indices_.assign(entries.begin(), entries.end());
    return {};
}

Result<CpuidTable> Kvm::supported_cpuid() const {
    constexpr std::size_t kMaximumEntries = 256; // KVM_MAX_CPUID_ENTRIES
    Counted<kvm_cpuid2, kvm_cpuid_entry2> list{kMaximumEntries};
    list.header()->nent = kMaximumEntries;
    TRY(KVM_CONTROL(fd_.get(), KVM_GET_SUPPORTED_CPUID, list.header()));
    CpuidTable table;
    for (const kvm_cpuid_entry2& entry : list.entries().first(list.header()->nent))
        table.push_back({entry.function, entry.index, (entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0,
                         entry.eax, entry.ebx, entry.ecx, entry.edx});
    return table;
}

} // namespace godwit::kvm
