// SPDX-License-Identifier: Apache-2.0
//
// What a host cannot give of a model.
#include "vmm/base/text.h"
#include "vmm/cpu/fields.h"
#include "vmm/cpu/portability.h"
#include "vmm/cpu/vendor.h"
#include "vmm/cpu/xsave.h"

#include <algorithm>
#include <bit>

#include <fmt/core.h>

namespace godwit::cpu {

namespace {

template <class T>
std::string text(const T& value) {
    return fmt::format("{}", value);
}

class Search {
  public:
    Search(const CpuModel& guest, const CpuModel& host) : guest_(guest), host_(host) {}

    std::vector<Obstacle> run() {
        if (!same_vendor(guest_.cpuid, host_.cpuid))
            add(Obstacle::Kind::Vendor, {vendor_of(guest_.cpuid), vendor_of(host_.cpuid)});
        for (const CpuidEntry& entry : guest_.cpuid) {
            const CpuidEntry* const offer = find_leaf(host_.cpuid, entry.function, entry.index);
            look_at(entry, offer != nullptr ? *offer : CpuidEntry{entry.function, entry.index});
        }
        for (const MsrValue& msr : guest_.msrs)
            look_at(msr);
        return std::move(found_);
    }

  private:
    void add(Obstacle::Kind kind, std::vector<std::string> values) {
        found_.push_back({kind, std::move(values)});
    }

    void look_at(const CpuidEntry& guest, const CpuidEntry& host) {
        for (const Register reg : kRegisters) {
            const std::uint32_t has = guest.*member_of(reg), gives = host.*member_of(reg);
            bool differs = false, told = false; // what is not known
            for (unsigned bit = 0; bit < 32; ++bit) {
                const bool wanted = (has >> bit & 1) != 0, given = (gives >> bit & 1) != 0;
                const Kind kind = kind_of(guest.function, guest.index, reg, bit);
                differs |= kind == Kind::Unknown && wanted != given;
                told |= kind == Kind::Unknown && wanted;
                if ((kind == Kind::Feature || kind == Kind::Component) && wanted && !given)
                    add(Obstacle::Kind::Feature, {bit_text(guest.function, guest.index, reg, bit)});
            }
            if (differs && told)
                add(Obstacle::Kind::LeafDiffers,
                    {fmt::format("leaf {:#x}{} {} = {:#x}", guest.function,
                                 guest.index != 0 ? fmt::format(" subleaf {}", guest.index) : "",
                                 to_string(reg), has)});
            numbers(guest, reg, has, gives);
        }
        if (guest.function == 0xd && guest.index >= 2)
            layout(guest, host);
    }

    void numbers(const CpuidEntry& entry, Register reg, std::uint32_t has, std::uint32_t gives) {
        for (const Field& field : fields()) {
            if (field.function != entry.function || field.index != entry.index || field.reg != reg)
                continue;
            const auto shift = std::countr_zero(field.mask);
            const std::uint32_t wanted = (has & field.mask) >> shift, limit = (gives & field.mask) >> shift;
            if (wanted <= limit)
                continue;
            if (field.kind == Kind::Limit)
                add(Obstacle::Kind::Limit, {std::string{field.name}, text(wanted), text(limit)});
            if (field.kind == Kind::Width)
                add(Obstacle::Kind::AddressWidth, {text(wanted), std::string{field.name}, text(limit)});
        }
    }

    // A part that the host lacks altogether is told by its bit.
    void layout(const CpuidEntry& guest, const CpuidEntry& host) {
        const std::uint64_t both = xsave_components(guest_.cpuid) & xsave_components(host_.cpuid);
        if (guest.index < 64 && (both >> guest.index & 1) != 0 &&
            (guest.eax != host.eax || guest.ebx != host.ebx))
            add(Obstacle::Kind::XsaveLayout,
                {text(guest.index), text(guest.eax), text(guest.ebx), text(host.eax), text(host.ebx)});
    }

    void look_at(const MsrValue& guest) {
        const FeatureMsr* const meaning = find_feature_msr(guest.index);
        const auto host = std::ranges::find(host_.msrs, guest.index, &MsrValue::index);
        if (meaning == nullptr || host == host_.msrs.end())
            return add(Obstacle::Kind::MsrMissing,
                       {meaning != nullptr ? std::string{meaning->name} : fmt::format("{:#x}", guest.index),
                        fmt::format("{:#x}", guest.value)});
        const std::uint64_t invented = guest.value & ~host->value & meaning->promises;
        const std::uint64_t withheld = ~guest.value & host->value & meaning->warnings;
        for (std::uint64_t bits = invented | withheld; bits != 0; bits &= bits - 1) {
            const auto bit = static_cast<unsigned>(std::countr_zero(bits));
            add(Obstacle::Kind::MsrBit,
                {fmt::format("{} = {}", msr_bit_text(guest.index, bit), guest.value >> bit & 1)});
        }
    }

    const CpuModel& guest_;
    const CpuModel& host_;
    std::vector<Obstacle> found_;
};

} // namespace

std::string Obstacle::text() const {
    const auto& v = values;
    switch (kind) {
    case Kind::Vendor:
        return fmt::format("a processor of '{}', this host's is of '{}'", v[0], v[1]);
    case Kind::Feature:
    case Kind::LeafDiffers:
    case Kind::MsrBit:
        return v[0];
    case Kind::Limit:
        return fmt::format("{} = {}, at most {}", v[0], v[1], v[2]);
    case Kind::AddressWidth:
        return fmt::format("{} bits of {} addresses, at most {}", v[0], v[1], v[2]);
    case Kind::XsaveLayout:
        return fmt::format("XSAVE component {} of {} bytes at {}, it has {} at {}", v[0], v[1], v[2], v[3],
                           v[4]);
    case Kind::MsrMissing:
        return fmt::format("register {}", v[0]);
    }
    return {};
}

std::vector<Obstacle> obstacles(const CpuModel& guest, const CpuModel& host) {
    return Search{guest, host}.run();
}

Status check_can_give(const CpuModel& guest, const CpuModel& host, std::string_view what) {
    std::vector<std::string> texts;
    for (const Obstacle& one : obstacles(guest, host))
        texts.push_back(one.text());
    if (texts.empty())
        return {};
    return error(ErrorCode::Incompatible, "{}: this host cannot give {}", what, join(texts, "; "));
}

} // namespace godwit::cpu
