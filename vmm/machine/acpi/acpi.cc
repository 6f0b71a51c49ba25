// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/acpi/acpi.h"

#include "vmm/machine/acpi/dsdt.h"
#include "vmm/machine/acpi/generation.h"
#include "vmm/machine/acpi/table.h"

#include <algorithm>
#include <array>
#include <span>

namespace godwit::acpi {

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kRsdpSize = 36;
constexpr std::size_t kTableAlignment = 16;

// Section 5.2.9. No fixed hardware, hence no FACS, no PM blocks, no SCI: sleep and reset registers of the GED
// instead.
Bytes make_fadt(std::uint64_t dsdt) {
    constexpr std::uint32_t kResetRegisterSupported = 1 << 10;
    constexpr std::uint32_t kHardwareReduced = 1 << 20;
    constexpr std::uint16_t kNoVga = 1 << 2;
    constexpr std::uint16_t kNoCmosRtc = 1 << 5;
    constexpr std::size_t kFlagsAt = 112;
    constexpr std::size_t kBootArchitectureAt = 109;
    constexpr std::size_t kExtendedDsdtAt = 140;
    constexpr std::size_t kSleepControlAt = 244;

    ByteWriter table = begin_table("FACP", 5);
    table.le(std::uint32_t{0});                                // FACS
    table.le(static_cast<std::uint32_t>(dsdt));                // DSDT
    table.zeros(kBootArchitectureAt - table.size());           // PM profile to century: none
    table.le(static_cast<std::uint16_t>(kNoVga | kNoCmosRtc)); // and no 8042
    table.zeros(kFlagsAt - table.size());
    table.le(kResetRegisterSupported | kHardwareReduced);
    append_memory_register(table, board::kGedReset);
    table.le(board::kGedResetValue);
    table.le(std::uint16_t{0});                  // ARM boot architecture
    table.le(std::uint8_t{0});                   // minor revision
    table.zeros(kExtendedDsdtAt - table.size()); // 64-bit FACS
    table.le(dsdt);
    table.zeros(kSleepControlAt - table.size()); // 64-bit PM blocks
    append_memory_register(table, board::kGedSleepControl);
    append_memory_register(table, board::kGedSleepStatus);
    return finish_table(std::move(table));
}

// Section 5.2.12. The flags word is zero: there is no pair of 8259s behind the IOAPIC.
Bytes make_madt(std::uint32_t cpu_count) {
    constexpr std::uint32_t kEnabled = 1;
    constexpr std::uint16_t kActiveHighLevel = 0xd;
    constexpr std::uint8_t kAllProcessors = 0xff;

    ByteWriter table = begin_table("APIC", 1);
    table.le(static_cast<std::uint32_t>(board::kLocalApic.base));
    table.le(std::uint32_t{0});
    for (std::uint32_t cpu = 0; cpu < cpu_count; ++cpu) {
        table.le(std::uint8_t{0}); // processor local APIC
        table.le(std::uint8_t{8});
        table.le(static_cast<std::uint8_t>(cpu)); // processor UID
        table.le(static_cast<std::uint8_t>(cpu)); // APIC id
        table.le(kEnabled);
    }
    table.le(std::uint8_t{1}); // IOAPIC
    table.le(std::uint8_t{12});
    table.le(std::uint8_t{0}); // id
    table.le(std::uint8_t{0});
    table.le(static_cast<std::uint32_t>(board::kIoApic.base));
    table.le(std::uint32_t{0}); // first GSI
    for (std::uint32_t pin = 0; pin < board::kPcieIntxCount; ++pin) {
        const std::uint32_t gsi = board::kPcieIntxGsiBase + pin;
        table.le(std::uint8_t{2}); // interrupt source override
        table.le(std::uint8_t{10});
        table.le(std::uint8_t{0}); // bus: ISA
        table.le(static_cast<std::uint8_t>(gsi));
        table.le(gsi);
        table.le(kActiveHighLevel);
    }
    table.le(std::uint8_t{4}); // local APIC NMI
    table.le(std::uint8_t{6});
    table.le(kAllProcessors);
    table.le(std::uint16_t{0}); // polarity and trigger as the bus has them
    table.le(std::uint8_t{1});  // LINT1
    return finish_table(std::move(table));
}

// PCI Firmware Specification 3.3, section 4.1.2.
Bytes make_mcfg() {
    ByteWriter table = begin_table("MCFG", 1);
    table.zeros(8);
    table.le(board::kPcieEcam.base);
    table.le(std::uint16_t{0}); // segment group
    table.le(std::uint8_t{0});  // first bus
    table.le(static_cast<std::uint8_t>(board::kPcieBusCount - 1));
    table.zeros(4);
    return finish_table(std::move(table));
}

// Section 5.2.8.
Bytes make_xsdt(std::span<const std::uint64_t> tables) {
    ByteWriter table = begin_table("XSDT", 1);
    for (const std::uint64_t address : tables)
        table.le(address);
    return finish_table(std::move(table));
}

// Section 5.2.5.3: the first checksum covers the 20 bytes that ACPI 1.0 had, the second everything.
Bytes make_rsdp(std::uint64_t xsdt) {
    constexpr std::size_t kOldSize = 20;
    constexpr std::size_t kChecksumAt = 8;
    constexpr std::size_t kExtendedChecksumAt = 32;

    ByteWriter table;
    table.append("RSD PTR ");
    table.le(std::uint8_t{0});
    table.append(kOemId);
    table.le(std::uint8_t{2});  // revision
    table.le(std::uint32_t{0}); // no RSDT
    table.le(static_cast<std::uint32_t>(kRsdpSize));
    table.le(xsdt);
    table.zeros(kRsdpSize - table.size());
    Bytes rsdp = table.take();
    rsdp[kChecksumAt] = std::byte{checksum(std::span{rsdp}.first(kOldSize))};
    rsdp[kExtendedChecksumAt] = std::byte{checksum(rsdp)};
    return rsdp;
}

// Appends tables to the blob and knows where in the guest they come to lie.
class Layout {
  public:
    explicit Layout(std::size_t reserved) : bytes_(reserved) {}
    std::uint64_t add(const Bytes& table) {
        bytes_.resize(align_up(bytes_.size(), kTableAlignment));
        const std::uint64_t at = kTableWindow.base + bytes_.size();
        bytes_.insert(bytes_.end(), table.begin(), table.end());
        return at;
    }
    Bytes take() && { return std::move(bytes_); }

  private:
    Bytes bytes_;
};

} // namespace

Result<AcpiBlob> build_tables(const AcpiConfig& config) {
    if (config.cpu_count == 0 || config.cpu_count > board::kMaxCpus)
        return invalid_input("{} CPUs; the board has room for 1 to {}", config.cpu_count, board::kMaxCpus);
    if (config.mmio64.size != 0 && config.mmio64.end() < config.mmio64.base)
        return invalid_input("64-bit PCIe window {:#x}+{:#x} wraps", config.mmio64.base, config.mmio64.size);

    Layout layout{kRsdpSize};
    const std::uint64_t dsdt = layout.add(TRY(make_dsdt(config.mmio64)));
    std::vector tables{layout.add(make_fadt(dsdt)), layout.add(make_madt(config.cpu_count)),
                       layout.add(make_mcfg())};
    if (config.channel_io) {
        const auto ssdt = compiled_ssdt_ccw();
        tables.push_back(layout.add({ssdt.begin(), ssdt.end()}));
    }
    const Bytes rsdp = make_rsdp(layout.add(make_xsdt(tables)));

    AcpiBlob blob{std::move(layout).take(), Gpa{kTableWindow.base}, Gpa{kTableWindow.base}, {}};
    std::ranges::copy(rsdp, blob.bytes.begin());
    if (blob.bytes.size() > kTableWindow.size)
        return error(ErrorCode::Internal, "ACPI tables of {} bytes exceed {}", blob.bytes.size(),
                     kTableWindow.size);
    blob.reservations.push_back(
        {blob.base, align_up(blob.bytes.size(), kPageSize), E820Type::AcpiReclaimable});
    blob.reservations.push_back({Gpa{kGenerationPage.base}, kGenerationPage.size, E820Type::AcpiNvs});
    return blob;
}

Status place_tables(const AcpiBlob& blob, GuestMemory& memory) {
    TRY_IN(memory.write(blob.base, blob.bytes), "placing the ACPI tables");
    return {};
}

} // namespace godwit::acpi
