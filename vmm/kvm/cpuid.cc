// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/cpuid.h"

#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/kvm_api.h"

#include <algorithm>
#include <bit>

namespace godwit::kvm {

namespace {

constexpr std::uint32_t kHypervisorLeaf = 0x40000000;
constexpr std::uint32_t kFeaturesLeaf = 0x40000001;
constexpr std::uint32_t kFrequencyLeaf =
    0x40000010;                                  // as VMware defined it: eax TSC, ebx APIC bus, both in kHz
constexpr std::uint32_t kApicBusKhz = 1'000'000; // KVM's default LAPIC: one tick per nanosecond
constexpr std::uint32_t kLevelThread = 1, kLevelCore = 2;

constexpr std::uint32_t bit(unsigned position) {
    return std::uint32_t{1} << position;
}

void clear(CpuidTable& table, std::uint32_t function, std::uint32_t index, std::uint32_t CpuidEntry::*reg,
           std::uint32_t bits) {
    if (CpuidEntry* const entry = find_leaf(table, function, index))
        entry->*reg &= ~bits;
}

// The leaf with all its subleaves, now telling nothing.
void blank(CpuidTable& table, std::uint32_t function) {
    std::erase_if(table,
                  [&](const CpuidEntry& entry) { return entry.function == function && entry.index != 0; });
    if (CpuidEntry* const entry = find_leaf(table, function))
        entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
}

// "AuthenticAMD" and "HygonGenuine", by their first four letters.
bool is_amd(const CpuidEntry* vendor) {
    return vendor != nullptr && (vendor->ebx == 0x68747541 || vendor->ebx == 0x6f677948);
}

// Subleaves of the two cache leaves (Intel 4, AMD 0x8000001d) have one layout in eax.
void share_caches(CpuidTable& table, std::uint32_t function, std::uint32_t package_ids, bool cores_field) {
    for (CpuidEntry& entry : table) {
        if (entry.function != function || (entry.eax & 0x1f) == 0)
            continue;
        const std::uint32_t level = (entry.eax >> 5) & 7;
        const std::uint32_t sharing = level >= 3 ? package_ids - 1 : 0;
        entry.eax = (entry.eax & 0x3fff) | (sharing << 14);
        if (cores_field)
            entry.eax |= (package_ids - 1) << 26;
    }
}

// Intel SDM: leaves 0xb and 0x1f, one entry per level and one that ends the list.
void set_topology(CpuidTable& table, std::uint32_t function, const CpuidPlace& place,
                  std::uint32_t core_shift) {
    std::erase_if(table, [&](const CpuidEntry& entry) { return entry.function == function; });
    table.push_back({function, 0, true, 0, 1, kLevelThread << 8, place.vcpu});
    table.push_back({function, 1, true, core_shift, place.vcpus, (kLevelCore << 8) | 1, place.vcpu});
    table.push_back({function, 2, true, 0, 0, 2, place.vcpu});
}

} // namespace

Result<CpuidTable> make_cpuid_template(const Kvm& kvm) {
    CpuidTable table = TRY(kvm.supported_cpuid());
    using E = CpuidEntry;
    // DTES64, DS-CPL, VMX, SMX, PDCM. The deadline timer is KVM's, although it is not in KVM's list.
    clear(table, 1, 0, &E::ecx, bit(2) | bit(4) | bit(5) | bit(6) | bit(15));
    if (CpuidEntry* const features = find_leaf(table, 1))
        features->ecx |= bit(24) | bit(31);        // TSC-deadline, hypervisor present
    clear(table, 1, 0, &E::edx, bit(21));          // debug store
    clear(table, 7, 0, &E::ebx, bit(2) | bit(25)); // SGX, processor trace
    clear(table, 7, 0, &E::ecx, bit(7) | bit(30)); // shadow stacks, SGX launch control
    clear(table, 7, 0, &E::edx, bit(19) | bit(20) | bit(22) | bit(24) | bit(25)); // LBR, branch tracking, AMX
    clear(table, 7, 1, &E::eax, bit(17) | bit(21));                               // FRED, AMX
    clear(table, 7, 1, &E::edx, bit(8) | bit(18) | bit(21));                      // AMX, shadow stacks, APX
    clear(table, 0x80000001, 0, &E::ecx,
          bit(2) | bit(10) | bit(23) | bit(24) | bit(28)); // SVM, IBS, counters
    // A TSC that never changes its speed is no promise that a guest which moves can be given; Linux would
    // then take it as its clock in place of kvm-clock, and on AMD look for MSRs that KVM has not.
    clear(table, 0x80000007, 0, &E::edx, bit(8));
    for (const std::uint32_t leaf :
         {0xau, 0x12u, 0x14u, 0x1cu, 0x1du, 0x1eu, 0x8000000au, 0x8000001bu, 0x80000022u})
        blank(table, leaf);

    if (CpuidEntry* const xsave = find_leaf(table, 0xd)) {
        xsave->eax &= static_cast<std::uint32_t>(kCarriedXsaveComponents);
        xsave->edx = 0;
        clear(table, 0xd, 1, &E::eax, bit(4)); // XFD
        clear(table, 0xd, 1, &E::ecx, ~0u);    // no supervisor components
        clear(table, 0xd, 1, &E::edx, ~0u);
        std::erase_if(table, [](const CpuidEntry& entry) {
            return entry.function == 0xd && entry.index >= 2 &&
                   (entry.index >= 64 || ((kCarriedXsaveComponents >> entry.index) & 1) == 0);
        });
        // The size of the area with every component that is left; KVM itself keeps ebx, which follows XCR0.
        std::uint32_t size = 576;
        for (const CpuidEntry& entry : table)
            if (entry.function == 0xd && entry.index >= 2)
                size = std::max(size, entry.ebx + entry.eax);
        find_leaf(table, 0xd)->ecx = size;
    }
    // These two would need answers from us: KVM_HC_MAP_GPA_RANGE and its migration control.
    clear(table, kFeaturesLeaf, 0, &E::eax,
          bit(KVM_FEATURE_HC_MAP_GPA_RANGE) | bit(KVM_FEATURE_MIGRATION_CONTROL));
    if (find_leaf(table, kHypervisorLeaf) == nullptr || find_leaf(table, kFeaturesLeaf) == nullptr)
        return error(ErrorCode::NoDevice, "this host's KVM does not describe its paravirtual features");
    return table;
}

std::uint32_t told_tsc_khz(const CpuidTable& table) {
    const CpuidEntry* const rates = find_leaf(table, kFrequencyLeaf);
    return rates == nullptr ? 0 : rates->eax;
}

Status set_cpuid(int vcpu_fd, const CpuidTable& table) {
    Counted<kvm_cpuid2, kvm_cpuid_entry2> list{table.size()};
    list.header()->nent = static_cast<__u32>(table.size());
    for (std::size_t i = 0; i < table.size(); ++i) {
        const CpuidEntry& entry = table[i];
        kvm_cpuid_entry2& out = list.data()[i];
        out.function = entry.function;
        out.index = entry.index;
        out.flags = entry.index_matters ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
        out.eax = entry.eax;
        out.ebx = entry.ebx;
        out.ecx = entry.ecx;
        out.edx = entry.edx;
    }
    TRY(KVM_CONTROL(vcpu_fd, KVM_SET_CPUID2, list.header()));
    return {};
}

CpuidTable cpuid_for(const CpuidTable& shared, const CpuidPlace& place) {
    CpuidTable table = shared;
    const std::uint32_t package_ids = std::bit_ceil(place.vcpus);
    const auto core_shift = static_cast<std::uint32_t>(std::countr_zero(package_ids));
    // Copied out of the table, which grows below.
    const CpuidEntry* const first = find_leaf(shared, 0);
    const std::uint32_t maximum = first != nullptr ? first->eax : 0;
    const bool amd = is_amd(first);

    if (CpuidEntry* const leaf = find_leaf(table, 1)) {
        leaf->ebx = (leaf->ebx & 0xff00) | (place.vcpu << 24) | (place.vcpus << 16);
        if (place.vcpus > 1)
            leaf->edx |= bit(28); // HTT: the count above is valid
        else
            leaf->edx &= ~bit(28);
    }
    share_caches(table, 4, package_ids, true);
    share_caches(table, 0x8000001d, package_ids, false);
    for (const std::uint32_t function : {0xbu, 0x1fu})
        if (maximum >= function)
            set_topology(table, function, place, core_shift);
    if (amd) {
        if (CpuidEntry* const extended = find_leaf(table, 0x80000001))
            extended->ecx = (extended->ecx & ~bit(1)) | (place.vcpus > 1 ? bit(1) : 0); // CmpLegacy
        if (CpuidEntry* const sizes = find_leaf(table, 0x80000008))
            sizes->ecx = (sizes->ecx & ~0xf0ffu) | (core_shift << 12) | (place.vcpus - 1);
    }
    // AMD APM: extended APIC id; core id with one thread each; node 0 of 1.
    const CpuidEntry* const features = find_leaf(table, 0x80000001);
    if (CpuidEntry* const node = find_leaf(table, 0x8000001e); node != nullptr && features != nullptr) {
        const bool has_topology = (features->ecx & bit(22)) != 0;
        node->eax = has_topology ? place.vcpu : 0;
        node->ebx = has_topology ? place.vcpu & 0xff : 0;
        node->ecx = node->edx = 0;
    }

    if (CpuidEntry* const hypervisor = find_leaf(table, kHypervisorLeaf))
        hypervisor->eax = std::max(hypervisor->eax, kFrequencyLeaf);
    std::erase_if(table, [](const CpuidEntry& entry) { return entry.function == kFrequencyLeaf; });
    table.push_back({kFrequencyLeaf, 0, false, place.tsc_khz, kApicBusKhz, 0, 0});
    return table;
}

} // namespace godwit::kvm
