// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/acpi/acpi.h"

#include "vmm/base/bytes.h"
#include "vmm/machine/acpi/dsdt.h"
#include "vmm/machine/acpi/table.h"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

namespace godwit::acpi {
namespace {

constexpr board::Window kMmio64 = board::pcie_mmio64(46);

unsigned sum(std::span<const std::byte> bytes) {
    unsigned total = 0;
    for (const std::byte byte : bytes)
        total += std::to_integer<unsigned>(byte);
    return total & 0xff;
}

// The tables as a guest finds them: RSDP, XSDT, entries, DSDT through the FADT.
class Tables {
  public:
    explicit Tables(AcpiBlob from) : blob(std::move(from)) {
        const auto rsdp = std::span{blob.bytes}.first(36);
        xsdt = table_at(load_le<std::uint64_t>(rsdp.subspan(24)));
        for (std::size_t at = kHeaderSize; at < xsdt.size(); at += 8) {
            const auto table = table_at(load_le<std::uint64_t>(xsdt.subspan(at)));
            by_name[std::string{reinterpret_cast<const char*>(table.data()), 4}] = table;
        }
        REQUIRE(by_name.contains("FACP"));
        by_name["DSDT"] = table_at(load_le<std::uint64_t>(by_name["FACP"].subspan(140)));
    }

    std::span<const std::byte> table_at(std::uint64_t address) const {
        REQUIRE(address >= blob.base.value);
        const std::uint64_t at = address - blob.base.value;
        REQUIRE(at + kHeaderSize <= blob.bytes.size());
        const auto rest = std::span{blob.bytes}.subspan(at);
        const auto length = load_le<std::uint32_t>(rest.subspan(4));
        REQUIRE(length <= rest.size());
        return rest.first(length);
    }

    AcpiBlob blob;
    std::span<const std::byte> xsdt;
    std::map<std::string, std::span<const std::byte>> by_name;
};

Tables build(std::uint32_t cpus, board::Window mmio64 = kMmio64) {
    auto blob = build_tables({cpus, mmio64, false});
    REQUIRE(blob.ok());
    return Tables{std::move(*blob)};
}

// A directory that goes away with the test.
struct Scratch {
    std::filesystem::path path;
    Scratch() {
        std::string pattern = (std::filesystem::temp_directory_path() / "godwit-acpi-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    ~Scratch() { std::filesystem::remove_all(path); }
};

// Runs iasl in the folder; its output.
std::string iasl(const Scratch& scratch, const std::string& arguments) {
    const char* program = std::getenv("GODWIT_IASL");
    const std::string command = "cd " + scratch.path.string() + " && " +
                                (program == nullptr ? "iasl" : program) + " " + arguments + " > output 2>&1";
    const int status = std::system(command.c_str());
    std::ostringstream text;
    text << std::ifstream(scratch.path / "output").rdbuf();
    INFO(command << "\n" << text.str());
    REQUIRE(status == 0);
    REQUIRE(text.str().find("Error") == text.str().find("Errors,")); // "0 Errors, ..." is fine
    REQUIRE(text.str().find("ncorrect checksum") == std::string::npos);
    return text.str();
}

std::string disassemble(const Scratch& scratch, const std::string& name, std::span<const std::byte> table) {
    std::ofstream(scratch.path / (name + ".aml"), std::ios::binary)
        .write(reinterpret_cast<const char*>(table.data()), static_cast<std::streamsize>(table.size()));
    iasl(scratch, "-d " + name + ".aml");
    std::ostringstream text;
    text << std::ifstream(scratch.path / (name + ".dsl")).rdbuf();
    return text.str();
}

} // namespace

TEST_CASE("every ACPI table is reachable and sums to zero", "[acpi]") {
    for (const std::uint32_t cpus : {1u, 2u, 64u}) {
        const Tables tables = build(cpus);
        CHECK(sum(std::span{tables.blob.bytes}.first(20)) == 0);
        CHECK(sum(std::span{tables.blob.bytes}.first(36)) == 0);
        CHECK(sum(tables.xsdt) == 0);
        for (const auto& [name, table] : tables.by_name) {
            INFO(name);
            CHECK(sum(table) == 0);
            CHECK(std::string{reinterpret_cast<const char*>(table.data()) + 10, 6} == "GODWIT");
        }
        CHECK(tables.by_name.size() == 4);
    }
}

TEST_CASE("the channel subsystem is announced when it is there", "[acpi]") {
    auto blob = build_tables({1, kMmio64, true});
    REQUIRE(blob.ok());
    const Tables tables{std::move(*blob)};
    REQUIRE(tables.by_name.contains("SSDT"));
    CHECK(sum(tables.by_name.at("SSDT")) == 0);
    const Scratch scratch;
    const std::string text = disassemble(scratch, "ssdt", tables.by_name.at("SSDT"));
    CHECK(text.find("\"GWCC0001\"") != std::string::npos);
    for (const std::uint64_t address : {board::kChannelIo.base, board::kChannelIo.size})
        CHECK(text.find(fmt::format("0x{:08X},", address)) != std::string::npos);
    for (const std::uint32_t gsi : {board::kChannelIoGsi, board::kChannelAdapterGsi})
        CHECK(text.find(fmt::format("0x{:08X},", gsi)) != std::string::npos);
}

TEST_CASE("the RSDP lies where a scan of the BIOS area finds it and inside its reservation", "[acpi]") {
    const Tables tables = build(64);
    CHECK(tables.blob.rsdp.value % 16 == 0);
    CHECK(tables.blob.rsdp.value >= 0xe0000);
    CHECK(tables.blob.base.value + tables.blob.bytes.size() <= board::kFirmwareAlias.base);
    REQUIRE(tables.blob.reservations.size() == 2);
    const E820Entry& entry = tables.blob.reservations[0];
    CHECK(entry.base == tables.blob.base);
    CHECK(entry.size >= tables.blob.bytes.size());
    CHECK(entry.size % kPageSize == 0);
    CHECK(entry.type == E820Type::AcpiReclaimable);

    auto memory = GuestMemory::create(4 << 20, board::kLowRamLimit);
    REQUIRE(memory.ok());
    REQUIRE(place_tables(tables.blob, **memory).ok());
    std::vector<std::byte> seen(tables.blob.bytes.size());
    REQUIRE((*memory)->read(tables.blob.base, seen).ok());
    CHECK(seen == tables.blob.bytes);
}

TEST_CASE("the FADT describes a hardware-reduced machine with the GED's registers", "[acpi]") {
    const Tables tables = build(1);
    const auto fadt = tables.by_name.at("FACP");
    REQUIRE(fadt.size() == 268);
    CHECK(load_le<std::uint32_t>(fadt.subspan(112)) == 0x00100400);
    CHECK(load_le<std::uint64_t>(fadt.subspan(116 + 4)) == board::kGedReset);
    CHECK(fadt[128] == std::byte{board::kGedResetValue});
    CHECK(load_le<std::uint64_t>(fadt.subspan(244 + 4)) == board::kGedSleepControl);
    CHECK(load_le<std::uint64_t>(fadt.subspan(256 + 4)) == board::kGedSleepStatus);
    CHECK(load_le<std::uint32_t>(fadt.subspan(40)) == load_le<std::uint64_t>(fadt.subspan(140)));
}

TEST_CASE("the MADT has one local APIC per CPU", "[acpi]") {
    for (const std::uint32_t cpus : {1u, 2u, 64u}) {
        const Tables tables = build(cpus);
        const auto madt = tables.by_name.at("APIC");
        CHECK(madt.size() == 44 + 8 * cpus + 12 + 4 * 10 + 6);
        CHECK(load_le<std::uint32_t>(madt.subspan(36)) == board::kLocalApic.base);
        for (std::uint32_t cpu = 0; cpu < cpus; ++cpu) {
            const auto entry = madt.subspan(44 + 8 * cpu, 8);
            CHECK(entry[0] == std::byte{0});
            CHECK(entry[3] == std::byte(cpu));
            CHECK(entry[4] == std::byte{1});
        }
        const auto override = madt.subspan(44 + 8 * cpus + 12);
        CHECK(override[0] == std::byte{2});
        CHECK(override[3] == std::byte{12});
        CHECK(load_le<std::uint32_t>(override.subspan(4)) == 12);
        CHECK(load_le<std::uint16_t>(override.subspan(8)) == 0xd);
    }
}

TEST_CASE("the MCFG names the ECAM", "[acpi]") {
    const Tables tables = build(1);
    const auto mcfg = tables.by_name.at("MCFG");
    REQUIRE(mcfg.size() == 60);
    CHECK(load_le<std::uint64_t>(mcfg.subspan(44)) == board::kPcieEcam.base);
    CHECK(mcfg[55] == std::byte{board::kPcieBusCount - 1});
}

TEST_CASE("configurations without sense are refused", "[acpi]") {
    CHECK_FALSE(build_tables({0, kMmio64}).ok());
    CHECK_FALSE(build_tables({board::kMaxCpus + 1, kMmio64}).ok());
    CHECK_FALSE(build_tables({1, {~std::uint64_t{0}, 4096}}).ok());
}

TEST_CASE("iasl reads every table without complaint", "[acpi]") {
    const Scratch scratch;
    const Tables tables = build(64);
    for (const auto& [name, table] : tables.by_name) {
        INFO(name);
        const std::string text = disassemble(scratch, name, table);
        CHECK(text.find("Invalid") == std::string::npos);
        CHECK(text.find("Unknown") == std::string::npos);
        iasl(scratch, name == "DSDT" ? "-we " + name + ".dsl" : name + ".dsl");
    }
    disassemble(scratch, "XSDT", tables.xsdt);
}

TEST_CASE("the DSDT agrees with the board", "[acpi]") {
    const Scratch scratch;
    const Tables tables = build(1);
    const std::string text = disassemble(scratch, "DSDT", tables.by_name.at("DSDT"));
    const auto has = [&](const std::string& what) {
        INFO(what);
        CHECK(text.find(what) != std::string::npos);
    };
    has(fmt::format("Name (M64B, 0x{:016X})", kMmio64.base));
    has(fmt::format("Name (M64L, 0x{:016X})", kMmio64.size));
    has(fmt::format("OperationRegion (EREG, SystemMemory, 0x{:X}, 0x{:02X})", board::kGedEvents.base,
                    board::kGedEvents.size));
    has(fmt::format("Name (_CBA, 0x{:X})", board::kPcieEcam.base));
    has(fmt::format("0x{:08X},         // Address Base", board::kPcieEcam.base));
    has(fmt::format("0x{:08X},         // Range Minimum", board::kPcieMmio32.base));
    has(fmt::format("0x{:08X},         // Range Maximum", board::kPcieMmio32.end() - 1));
    has(fmt::format("0x{:04X},             // Range Minimum", board::kSerialPorts.base));
    has(fmt::format("{{{}}}", board::kSerialGsi));
    has(fmt::format("0x{:08X},\n", board::kGedGsi));
    has(fmt::format("(Local0 & 0x{:02X})", board::kGedPowerDown));
    for (std::uint32_t pin = 0; pin < board::kPcieIntxCount; ++pin)
        has(fmt::format("0x{:08X},\n", board::kPcieIntxGsiBase + pin));

    // The routing table follows the board's swizzle: link names stand for GSIs in order.
    std::size_t at = text.find("Name (_PRT");
    for (std::uint32_t slot = 0; slot < 32; ++slot)
        for (std::uint32_t pin = 0; pin < 4; ++pin) {
            const std::uint32_t link = board::pcie_intx_gsi(slot, pin) - board::kPcieIntxGsiBase;
            at = text.find("LNK", at + 1);
            REQUIRE(at != std::string::npos);
            CHECK(text[at + 3] == static_cast<char>('A' + link));
        }
}

TEST_CASE("without a 64-bit window the DSDT says so", "[acpi]") {
    const auto with = make_dsdt(kMmio64);
    const auto without = make_dsdt({0, 0});
    REQUIRE(with.ok());
    REQUIRE(without.ok());
    CHECK(with.value() != without.value());
    CHECK(sum(without.value()) == 0);
    CHECK(with.value().size() == compiled_dsdt().size());
}

} // namespace godwit::acpi
