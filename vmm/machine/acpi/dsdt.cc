// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/acpi/dsdt.h"

#include "vmm/base/bytes.h"
#include "vmm/machine/acpi/table.h"

#include <algorithm>
#include <array>

namespace godwit::acpi {

namespace {

// ACPI 6.4 section 20.2: NameOp, the four characters, QWordPrefix, eight bytes.
constexpr unsigned char kNameOp = 0x08;
constexpr unsigned char kQWordPrefix = 0x0e;

Status set_qword(std::span<std::byte> aml, std::string_view name, std::uint64_t value) {
    std::array<std::byte, 6> pattern{};
    pattern.front() = std::byte{kNameOp};
    std::ranges::copy(std::as_bytes(std::span{name}), pattern.begin() + 1);
    pattern.back() = std::byte{kQWordPrefix};

    const auto found = std::ranges::search(aml, pattern);
    if (found.empty() || aml.end() - found.end() < 8)
        return error(ErrorCode::Internal, "the DSDT has no 64-bit object {}", name);
    if (!std::ranges::search(std::ranges::subrange{found.end(), aml.end()}, pattern).empty())
        return error(ErrorCode::Internal, "the DSDT has more than one object {}", name);
    store_le(aml.subspan(static_cast<std::size_t>(found.end() - aml.begin())), value);
    return {};
}

} // namespace

Result<std::vector<std::byte>> make_dsdt(board::Window mmio64) {
    const auto compiled = compiled_dsdt();
    std::vector<std::byte> dsdt(compiled.begin(), compiled.end());
    TRY(set_qword(dsdt, "M64B", mmio64.base));
    TRY(set_qword(dsdt, "M64L", mmio64.size));
    seal_table(dsdt);
    return dsdt;
}

} // namespace godwit::acpi
