// SPDX-License-Identifier: Apache-2.0
#include "programs/cpu_identity.h"

#include "machine/clock.h"
#include "machine/gate.h"

namespace guest {
namespace {

constexpr u64 period = 100 * millisecond;
constexpr u32 bios_sign_id = 0x8b, platform_info = 0xce; // what every KVM lets a guest read

gate::CpuidLeaf cpuid(u32 function, u32 index = 0) {
    return gate::cpuid(function, index);
}

void fold(u64& all, u32 value) {
    all = (all ^ value) * 0x100000001b3; // FNV-1a, by 32 bits
}

// What follows the CPU that asks, or what its kernel switched on, is left out.
void fold_leaves(u64& all, u32 first, u32 most) {
    u32 last = cpuid(first).eax;
    for (u32 function = first; function <= last && function - first <= most; ++function) {
        if (function == 0xb || function == 0x1f || function == 0xd || function == 0x8000001e)
            continue;
        for (u32 index = 0; index < 4; ++index) {
            auto leaf = cpuid(function, index);
            if (function == 1) {
                leaf.ebx &= 0x00ffffff;
                leaf.ecx &= ~(1u << 27);
            }
            if (function == 7 && index == 0)
                leaf.ecx &= ~(1u << 4);
            for (u32 value : {leaf.eax, leaf.ebx, leaf.ecx, leaf.edx})
                fold(all, value);
        }
    }
}

} // namespace

CpuIdentity::Answers CpuIdentity::ask() {
    Answers answers;
    auto one = cpuid(1), seven = cpuid(7), extended = cpuid(0x80000001), widths = cpuid(0x80000008);
    answers.values = {one.eax,   one.ecx,      one.edx,      seven.ebx,        seven.ecx,
                      seven.edx, extended.ecx, extended.edx, widths.eax & 0xff};
    answers.all = 0xcbf29ce484222325;
    fold_leaves(answers.all, 0, 0x20);
    fold_leaves(answers.all, 0x40000000, 0x10);
    fold_leaves(answers.all, 0x80000000, 0x30);
    answers.revision = gate::read_msr(bios_sign_id);
    answers.platform = gate::read_msr(platform_info);
    return answers;
}

bool CpuIdentity::start() {
    first_ = ask();
    due_ = clock.now() + period;
    print_status();
    return true;
}

u64 CpuIdentity::step(u64 now) {
    if (now < due_)
        return due_;
    due_ = now + period;
    ++times_;
    if (Answers current = ask(); current != first_)
        Failure("cpuid", "changed").add_hex("was", first_.all).add_hex("is", current.all);
    return due_;
}

void CpuIdentity::print_status() const {
    Answers now = ask();
    Report("cpuid")
        .add("times", times_)
        .add_hex("signature", now.values[0])
        .add_hex("ecx1", now.values[1])
        .add_hex("edx1", now.values[2])
        .add_hex("ebx7", now.values[3])
        .add_hex("ecx7", now.values[4])
        .add_hex("edx7", now.values[5])
        .add_hex("ecx80000001", now.values[6])
        .add_hex("edx80000001", now.values[7])
        .add("physical_bits", now.values[8])
        .add_hex("all", now.all)
        .add_hex("revision", now.revision)
        .add_hex("platform", now.platform);
}

} // namespace guest
