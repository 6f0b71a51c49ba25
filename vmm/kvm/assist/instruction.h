// SPDX-License-Identifier: Apache-2.0
//
// One decoded instruction, and its operands on a CpuImage. Decoding is Zydis's. Only 64-bit mode is carried
// out; every mode is decoded, for messages.
#pragma once

#include "vmm/kvm/assist/cpu_image.h"

#include <Zydis/Zydis.h>

#include <optional>
#include <span>
#include <string>

namespace godwit::kvm {

inline constexpr std::uint64_t kLow32 = 0xffff'ffff;

enum class CodeSize { Bits16, Bits32, Bits64 };

class Instruction {
  public:
    // Nothing when the bytes are no instruction.
    static std::optional<Instruction> decode(std::span<const std::byte> bytes, CodeSize size);

    ZydisMnemonic mnemonic() const { return decoded_.mnemonic; }
    std::uint8_t length() const { return decoded_.length; }
    bool locked() const { return (decoded_.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0; }
    // In Intel's notation: "popcnt rax, qword ptr [rbx+0x8]". `rip` is where it stands.
    std::string text(std::uint64_t rip) const;

    bool is_memory(std::size_t operand) const { return operands_[operand].type == ZYDIS_OPERAND_TYPE_MEMORY; }
    std::uint16_t operand_bytes(std::size_t operand) const { return operands_[operand].size / 8; }
    // Linear address of a memory operand.
    std::uint64_t address(std::size_t operand, const CpuImage& cpu) const;
    // A general register, zero-extended.
    std::uint64_t get(std::size_t operand, const CpuImage& cpu) const;
    // A write of 32 bits clears the upper half; one of 16 leaves the rest.
    void set(std::size_t operand, CpuImage& cpu, std::uint64_t value) const;

  private:
    ZydisDecodedInstruction decoded_{};
    ZydisDecodedOperand operands_[ZYDIS_MAX_OPERAND_COUNT]{};
};

} // namespace godwit::kvm
