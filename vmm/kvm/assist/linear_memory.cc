// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/assist/linear_memory.h"

#include <algorithm>

namespace godwit::kvm {

namespace {

constexpr std::uint64_t kPresent = 1, kWritable = 1 << 1, kUser = 1 << 2, kAccessed = 1 << 5, kDirty = 1 << 6,
                        kLarge = 1 << 7;
constexpr std::uint64_t kAddressBits = 0x000f'ffff'ffff'f000;

// Page-fault error code, volume 3, section 4.7.
constexpr std::uint32_t kFaultProtection = 1, kFaultWrite = 1 << 1, kFaultUser = 1 << 2,
                        kFaultReserved = 1 << 3;

} // namespace

bool LinearMemory::is_canonical(std::uint64_t address) const {
    const int unused = (cpu_.cr4 & cr4::kLa57) != 0 ? 64 - 57 : 64 - 48;
    return static_cast<std::int64_t>(address << unused) >> unused == static_cast<std::int64_t>(address);
}

Reached LinearMemory::fault(std::uint64_t address, Access access, bool present, bool reserved) {
    cpu_.cr2 = address;
    cpu_.raised = CpuException{exception::kPageFault, (present ? kFaultProtection : 0) |
                                                          (access == Access::Write ? kFaultWrite : 0) |
                                                          (cpu_.cpl == 3 ? kFaultUser : 0) |
                                                          (reserved ? kFaultReserved : 0)};
    return Reached::Faulted;
}

Reached LinearMemory::translate(std::uint64_t address, Access access, Gpa& gpa) {
    if (!is_canonical(address)) {
        cpu_.raised = exception::kGeneralProtection;
        return Reached::Faulted;
    }
    std::uint64_t table = cpu_.cr3 & kAddressBits;
    bool writable = true;
    bool user = true;
    for (int level = (cpu_.cr4 & cr4::kLa57) != 0 ? 5 : 4;; --level) {
        const int shift = 12 + 9 * (level - 1);
        const Gpa at{table + (address >> shift & 511) * 8};
        const auto read = memory_.load_acquire<std::uint64_t>(at);
        if (!read.ok())
            return Reached::NotOurs;
        const std::uint64_t entry = *read;
        if ((entry & kPresent) == 0)
            return fault(address, access, false, false);
        writable = writable && (entry & kWritable) != 0;
        user = user && (entry & kUser) != 0;
        const bool large = (entry & kLarge) != 0;
        if (large && level > 3)
            return fault(address, access, true, true);
        const bool leaf = level == 1 || large;
        if (!leaf) {
            if ((entry & kAccessed) == 0)
                (void)memory_.fetch_or<std::uint64_t>(at, kAccessed);
            table = entry & kAddressBits;
            continue;
        }
        const bool supervisor = cpu_.cpl != 3;
        const bool smap =
            supervisor && user && (cpu_.cr4 & cr4::kSmap) != 0 && (cpu_.rflags & rflags::kAc) == 0;
        const bool read_only =
            access == Access::Write && !writable && (!supervisor || (cpu_.cr0 & cr0::kWp) != 0);
        if ((!supervisor && !user) || smap || read_only)
            return fault(address, access, true, false);
        const std::uint64_t seen = kAccessed | (access == Access::Write ? kDirty : 0);
        if ((entry & seen) != seen)
            (void)memory_.fetch_or<std::uint64_t>(at, seen);
        const std::uint64_t inside = (std::uint64_t{1} << shift) - 1;
        gpa = Gpa{(entry & kAddressBits & ~inside) | (address & inside)};
        return Reached::Done;
    }
}

template <class Each>
Reached LinearMemory::for_each_page(std::uint64_t address, std::uint64_t size, Access access, Each&& each) {
    for (std::uint64_t done = 0; done < size;) {
        const std::uint64_t at = address + done;
        const std::uint64_t count = std::min(size - done, kPageSize - at % kPageSize);
        Gpa gpa{};
        if (const Reached reached = locate(at, count, access, gpa); reached != Reached::Done)
            return reached;
        each(gpa, done, count);
        done += count;
    }
    return Reached::Done;
}

Reached LinearMemory::locate(std::uint64_t address, std::uint64_t size, Access access, Gpa& gpa) {
    if (const Reached reached = translate(address, access, gpa); reached != Reached::Done)
        return reached;
    return memory_.locate(gpa, size).ok() ? Reached::Done : Reached::NotOurs;
}

Reached LinearMemory::read(std::uint64_t address, std::span<std::byte> out) {
    return for_each_page(address, out.size(), Access::Read,
                         [&](Gpa gpa, std::uint64_t done, std::uint64_t count) {
                             (void)memory_.read(gpa, out.subspan(done, count)); // located already
                         });
}

Reached LinearMemory::probe_write(std::uint64_t address, std::uint64_t size) {
    return for_each_page(address, size, Access::Write, [](Gpa, std::uint64_t, std::uint64_t) {});
}

Reached LinearMemory::write(std::uint64_t address, std::span<const std::byte> bytes) {
    if (const Reached reached = probe_write(address, bytes.size()); reached != Reached::Done)
        return reached;
    return for_each_page(address, bytes.size(), Access::Write,
                         [&](Gpa gpa, std::uint64_t done, std::uint64_t count) {
                             (void)memory_.write(gpa, bytes.subspan(done, count)); // located already
                         });
}

} // namespace godwit::kvm
