// SPDX-License-Identifier: Apache-2.0
//
// The instructions that godwit can complete when KVM cannot: a table from mnemonic to what it does.
// Reference: Intel SDM, volume 2, under each instruction's name. 64-bit mode.
#pragma once

#include "vmm/kvm/assist/xsave.h"

namespace godwit::kvm {

enum class Needs : std::uint8_t {
    Nothing,
    Tsc,   // tsc, tsc_aux
    Xsave, // xsave, xcr0
};

struct Context {
    const Instruction& instruction;
    const XsaveAreas& layout;
    CpuImage& cpu;
    LinearMemory& memory;
};

struct AssistedInstruction {
    ZydisMnemonic mnemonic;
    Needs needs;
    Carried (*carry_out)(const Context& context);
};

// Null: not one of them.
const AssistedInstruction* assisted(ZydisMnemonic mnemonic);

// Carries it out and moves rip behind it, unless it caused a fault.
Carried carry_out(const AssistedInstruction& assisted, const Context& context);

} // namespace godwit::kvm
