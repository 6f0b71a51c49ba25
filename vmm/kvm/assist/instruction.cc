// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/assist/instruction.h"

namespace godwit::kvm {

namespace {

std::uint64_t register_value(ZydisRegister name, const CpuImage& cpu) {
    const ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, name);
    return cpu.gpr[static_cast<std::size_t>(ZydisRegisterGetId(whole))];
}

std::uint64_t mask(std::uint16_t bytes) {
    return bytes >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << 8 * bytes) - 1;
}

} // namespace

std::optional<Instruction> Instruction::decode(std::span<const std::byte> bytes, CodeSize size) {
    ZydisDecoder decoder;
    const auto [mode, width] = [&]() -> std::pair<ZydisMachineMode, ZydisStackWidth> {
        switch (size) {
        case CodeSize::Bits16:
            return {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16};
        case CodeSize::Bits32:
            return {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32};
        case CodeSize::Bits64:
            break;
        }
        return {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64};
    }();
    Instruction instruction;
    if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, mode, width)) ||
        !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes.data(), bytes.size(), &instruction.decoded_,
                                             instruction.operands_)))
        return std::nullopt;
    return instruction;
}

std::string Instruction::text(std::uint64_t rip) const {
    ZydisFormatter formatter;
    char text[128];
    if (!ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL)) ||
        !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &decoded_, operands_,
                                                      decoded_.operand_count_visible, text, sizeof text, rip,
                                                      nullptr)))
        return ZydisMnemonicGetString(decoded_.mnemonic);
    return text;
}

std::uint64_t Instruction::address(std::size_t operand, const CpuImage& cpu) const {
    const ZydisDecodedOperandMem& memory = operands_[operand].mem;
    auto address = static_cast<std::uint64_t>(memory.disp.value);
    if (memory.base == ZYDIS_REGISTER_RIP || memory.base == ZYDIS_REGISTER_EIP)
        address += cpu.rip + decoded_.length;
    else if (memory.base != ZYDIS_REGISTER_NONE)
        address += register_value(memory.base, cpu);
    if (memory.index != ZYDIS_REGISTER_NONE)
        address += register_value(memory.index, cpu) * memory.scale;
    if (decoded_.address_width == 32)
        address &= kLow32;
    if (memory.segment == ZYDIS_REGISTER_FS)
        address += cpu.fs_base;
    else if (memory.segment == ZYDIS_REGISTER_GS)
        address += cpu.gs_base;
    return address;
}

std::uint64_t Instruction::get(std::size_t operand, const CpuImage& cpu) const {
    return register_value(operands_[operand].reg.value, cpu) & mask(operand_bytes(operand));
}

void Instruction::set(std::size_t operand, CpuImage& cpu, std::uint64_t value) const {
    const ZydisRegister whole =
        ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, operands_[operand].reg.value);
    std::uint64_t& to = cpu.gpr[static_cast<std::size_t>(ZydisRegisterGetId(whole))];
    const std::uint64_t written = mask(operand_bytes(operand));
    to = operand_bytes(operand) >= 4 ? value & written : (to & ~written) | (value & written);
}

} // namespace godwit::kvm
