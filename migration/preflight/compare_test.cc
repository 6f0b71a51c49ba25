// SPDX-License-Identifier: Apache-2.0
//
// Every reason has a case that brings it about, alone; and the page that lists them for operators.
#include "migration/preflight/compare.h"
#include "vmm/cpu/sample_models.h"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>

using namespace godwit;
using namespace godwit::migration;

namespace {

MachineDescription sample() {
    MachineDescription machine;
    machine.board = "microvm";
    machine.memory = std::uint64_t{1} << 30;
    machine.low_memory = 0xc0000000;
    machine.memory_in_use = std::uint64_t{1} << 28;
    machine.cpus = 2;
    machine.tsc_khz = 2'000'000;
    machine.cpu = cpu::test::server();
    machine.sections = {{"timer", 2, 2}, {"cpu", 12, 3}};
    DeviceDescription disk;
    disk.id = "disk0";
    disk.type = "virtio-blk";
    disk.device_id = 2;
    disk.transport = "pci";
    disk.place = "0000:00:01.0";
    disk.features = 0x100000244;
    disk.queue_sizes = {256};
    disk.blk = BlkDescription{65536, 512, false, "disk0", 7, {8, 4194303, true}};
    DeviceDescription net;
    net.id = "net0";
    net.type = "virtio-net";
    net.device_id = 1;
    net.transport = "pci";
    net.place = "0000:00:02.0";
    net.features = 0x100408020;
    net.queue_sizes = {256, 256, 64};
    net.net = NetDescription{{2, 0, 0, 0, 0, 0x15}, 1500};
    machine.devices = {disk, net};
    return machine;
}

HostState sample_host() {
    HostState host;
    host.memory_available = std::uint64_t{1} << 30;
    host.disks = {{"disk0", "/d.raw", 4096, 4096, false}};
    host.taps = {{"net0", "tap0", ""}};
    host.tsc_khz = 2'000'000;
    host.cpu = cpu::test::server();
    return host;
}

struct Sides {
    MachineDescription source = sample();
    MachineDescription here = sample();
    HostState host = sample_host();

    DeviceDescription& disk() { return here.devices[0]; }
    DeviceDescription& net() { return here.devices[1]; }
    Differences compare() const {
        const auto name = [](std::uint16_t device, unsigned bit) {
            return fmt::format("{}/{}", device, bit);
        };
        Differences found = compare_machines(source, here, name);
        const Differences of_host = compare_host(source, here, host);
        found.insert(found.end(), of_host.begin(), of_host.end());
        return found;
    }
};

struct Case {
    Reason reason;
    std::string sentence;
    std::function<void(Sides&)> change;
};

const std::vector<Case>& cases() {
    static const std::vector<Case> table{
        {Reason::MachineBoard, "machine: the source's board is 'microvm', 'other' here",
         [](Sides& s) { s.here.board = "other"; }},
        {Reason::MachineMemorySize, "memory: 1073741824 bytes at the source, 5 here",
         [](Sides& s) { s.here.memory = 5; }},
        {Reason::MachineMemoryLayout,
         "memory: RAM below 4 GiB ends at 0xc0000000 at the source, at 0x80000000 here",
         [](Sides& s) { s.here.low_memory = 0x80000000; }},
        {Reason::MachineCpuCount, "cpus: 2 vCPUs at the source, 3 here", [](Sides& s) { s.here.cpus = 3; }},
        {Reason::StateSectionMissing, "state: the source's state has a section 'new' that is not known here",
         [](Sides& s) {
             s.source.sections.push_back({"new", 1, 1});
         }},
        {Reason::StateSectionVersion,
         "state: the source writes version 13 of section 'cpu', versions 3 to 12 can be read here",
         [](Sides& s) { s.source.sections[1].version = 13; }},
        {Reason::StateSectionVersion,
         "virtio-blk 'disk0': the source writes version 1 of section 'virtio-blk', versions 2 to 2 can be "
         "read here",
         [](Sides& s) { s.disk().state_version = s.disk().state_minimum_version = 2; }},
        {Reason::DeviceMissing, "virtio-net 'net0': is not here",
         [](Sides& s) { s.here.devices.pop_back(); }},
        {Reason::DeviceExtra, "virtio-net 'net0': is here and not at the source",
         [](Sides& s) { s.source.devices.pop_back(); }},
        {Reason::DeviceId, "virtio-net 'lan': the device at 0000:00:02.0 has the id 'net0' at the source",
         [](Sides& s) { s.net().id = "lan"; }},
        {Reason::DeviceType, "virtio-rng 'net0': is a virtio-net at the source, a virtio-rng here",
         [](Sides& s) { s.net().type = "virtio-rng"; }},
        {Reason::DeviceTransport, "virtio-net 'net0': is on pci at the source, on ccw here",
         [](Sides& s) {
             s.net().transport = "ccw";
             s.net().place = "fe.0.0002";
         }},
        {Reason::DevicePlace, "virtio-net 'net0': is at 0000:00:02.0 at the source, at 0000:00:05.0 here",
         [](Sides& s) { s.net().place = "0000:00:05.0"; }},
        {Reason::DeviceFeatureMissing, "virtio-net 'net0': feature 1/22 not offered here",
         [](Sides& s) { s.net().features &= ~(std::uint64_t{1} << 22); }},
        {Reason::DeviceFeatureExtra, "virtio-blk 'disk0': feature 2/63 offered here and not at the source",
         [](Sides& s) { s.disk().features |= std::uint64_t{1} << 63; }},
        {Reason::DeviceQueueCount, "virtio-net 'net0': 3 queues at the source, 2 here",
         [](Sides& s) { s.net().queue_sizes.pop_back(); }},
        {Reason::DeviceQueueSize,
         "virtio-net 'net0': queue 1 has up to 256 entries at the source, up to 128 here",
         [](Sides& s) { s.net().queue_sizes[1] = 128; }},
        {Reason::BlkCapacity, "virtio-blk 'disk0': 65536 sectors at the source, 65537 here",
         [](Sides& s) { s.disk().blk->sectors = 65537; }},
        {Reason::BlkBlockSize, "virtio-blk 'disk0': blocks of 512 bytes at the source, of 4096 here",
         [](Sides& s) { s.disk().blk->block_size = 4096; }},
        {Reason::BlkReadOnly, "virtio-blk 'disk0': is writable at the source, read-only here",
         [](Sides& s) {
             s.disk().blk->read_only = true;
             s.disk().features |= 1u << 5;
         }},
        {Reason::BlkSerial, "virtio-blk 'disk0': has the serial 'disk0' at the source, 'x' here",
         [](Sides& s) { s.disk().blk->serial = "x"; }},
        {Reason::BlkDiscard,
         "virtio-blk 'disk0': discards in steps of 8 sectors, up to 4194303 at once, at the source; of 128, "
         "up to "
         "4194303, here",
         [](Sides& s) { s.disk().blk->discard.alignment = 128; }},
        {Reason::BlkDiscard,
         "virtio-blk 'disk0': discards in steps of 8 sectors, up to 4194303 at once, at the source; of 8, up "
         "to "
         "2048, here",
         [](Sides& s) { s.disk().blk->discard.max_sectors = 2048; }},
        {Reason::BlkUnmap,
         "virtio-blk 'disk0': writing zeroes may give space back at the source, never gives space back here",
         [](Sides& s) { s.disk().blk->discard.zeroing_unmaps = false; }},
        {Reason::DeviceFeatureMissing, "virtio-blk 'disk0': feature 2/13 not offered here",
         [](Sides& s) { // and no limits beside
             s.source.devices[0].features |= 1u << 13;
             s.disk().blk->discard = {};
         }},
        {Reason::NetMac,
         "virtio-net 'net0': has the address 02:00:00:00:00:15 at the source, 02:00:00:00:00:16 here",
         [](Sides& s) { s.net().net->mac[5] = 0x16; }},
        {Reason::NetMtu, "virtio-net 'net0': has the MTU 1500 at the source, unset here",
         [](Sides& s) {
             s.net().net->mtu.reset();
             s.source.devices[1].features |= 1u << 3;
         }},
        {Reason::CpuVendor, "cpu: the guest's processor is of 'GenuineIntel', this host's of '????ineIntel'",
         [](Sides& s) { find_leaf(s.host.cpu.cpuid, 0)->ebx = 0; }},
        {Reason::CpuFeatureMissing,
         "cpu: the guest was given avx512f (leaf 0x7 ebx bit 16), which this host cannot give",
         [](Sides& s) { find_leaf(s.host.cpu.cpuid, 7)->ebx &= ~(1u << 16); }},
        {Reason::CpuLeafDiffers,
         "cpu: the guest was given leaf 0x23 eax = 0x7, whose meaning is not known here and which reads "
         "otherwise "
         "on this host",
         [](Sides& s) {
             s.source.cpu.cpuid.push_back({0x23, 0, false, 7, 0, 0, 0});
         }},
        {Reason::CpuLimit,
         "cpu: the guest was given the size of a CLFLUSH line in 8 bytes = 16, this host can give up to 8",
         [](Sides& s) { find_leaf(s.source.cpu.cpuid, 1)->ebx = 0x1000; }},
        {Reason::CpuAddressWidth, "cpu: the guest was given 52 bits of physical addresses, this host has 46",
         [](Sides& s) { find_leaf(s.source.cpu.cpuid, 0x80000008)->eax = 0x3034; }},
        {Reason::CpuXsaveLayout,
         "cpu: XSAVE component 9 has 8 bytes at 2688 for the guest, 8 bytes at 832 on this host",
         [](Sides& s) { find_leaf(s.host.cpu.cpuid, 0xd, 9)->ebx = 832; }},
        {Reason::CpuMsrMissing,
         "cpu: the guest was given register IA32_ARCH_CAPABILITIES with 0x2b, this host's KVM lacks it",
         [](Sides& s) { s.host.cpu.msrs.pop_back(); }},
        {Reason::CpuMsrBit,
         "cpu: the guest was told IA32_ARCH_CAPABILITIES bit 0 (rdcl-no) = 1, which does not hold on this "
         "host",
         [](Sides& s) { s.host.cpu.msrs[2].value = 0x2a; }},
        {Reason::CpuTscRate,
         "cpu: the guest's TSC runs at 2000000 kHz, this host's at 3000000 kHz, and KVM cannot scale it here",
         [](Sides& s) {
             s.host.tsc_khz = 3'000'000;
             s.host.gives_tsc_khz = false;
         }},
        {Reason::HostMemoryShort, "memory: the guest uses 268435456 bytes of RAM, 4096 are available here",
         [](Sides& s) { s.host.memory_available = 4096; }},
        {Reason::HostDiskLocked,
         "virtio-blk 'disk0': its file '/d.raw' is in use by a process that is not the source",
         [](Sides& s) { s.host.disks[0].locked_by_stranger = true; }},
        {Reason::HostDiskChanged,
         "virtio-blk 'disk0': its file '/d.raw' had 4096 bytes when the receiver was started, 0 now",
         [](Sides& s) { s.host.disks[0].bytes_now = 0; }},
        {Reason::HostTapGone,
         "virtio-net 'net0': its tap 'tap0' was there when the receiver was started: gone",
         [](Sides& s) { s.host.taps[0].fault = "gone"; }},
        {Reason::HostTapIdle, "virtio-net 'net0': its tap 'tap0' is down: no frame gets anywhere from there",
         [](Sides& s) { s.host.taps[0].lack = "is down"; }},
    };
    return table;
}

} // namespace

TEST_CASE("machines that fit have no differences", "[preflight]") {
    REQUIRE(Sides{}.compare().empty());
}

TEST_CASE("each reason is told for what it is, alone and in its own words", "[preflight]") {
    for (const Case& one : cases()) {
        INFO(entry_of(one.reason).code);
        Sides sides;
        one.change(sides);
        const Differences found = sides.compare();
        REQUIRE(found.size() == 1);
        REQUIRE(found[0].code == entry_of(one.reason).code);
        REQUIRE(found[0].sentence() == one.sentence);
    }
}

TEST_CASE("all differences are told at once", "[preflight]") {
    Sides sides;
    sides.here.cpus = 1;
    sides.here.memory = 5;
    sides.disk().blk->sectors = 1;
    sides.host.taps[0].fault = "gone";
    std::vector<std::string> codes;
    for (const Difference& one : sides.compare())
        codes.push_back(one.code);
    REQUIRE(codes == std::vector<std::string>{"machine.memory-size", "machine.cpu-count", "blk.capacity",
                                              "host.tap-gone"});
}

TEST_CASE("a receiver that was given no address takes the guest's", "[preflight]") {
    Sides sides;
    sides.net().net->mac[5] = 0x16;
    sides.net().net->adopts_mac = true;
    REQUIRE(sides.compare().empty());
}

TEST_CASE("a reason is accepted by its code, and a warning refuses nobody", "[preflight]") {
    Sides sides;
    sides.here.cpus = 3;
    sides.host.memory_available = 1;
    sides.host.taps[0].lack = "is down";
    Differences found = sides.compare();
    REQUIRE(refusing(found).size() == 2);
    REQUIRE(not_refusing(found).size() == 1);
    REQUIRE(not_refusing(found)[0].sentence() ==
            "virtio-net 'net0': its tap 'tap0' is down: no frame gets anywhere from there");
    const std::vector<std::string> codes{"host.memory-short", "net.mac"};
    accept(found, codes);
    REQUIRE(refusing(found).size() == 1);
    REQUIRE(refusing(found)[0].code == "machine.cpu-count");
    REQUIRE(std::ranges::count(found, Weight::Accepted, &Difference::weight) == 1);
    REQUIRE(std::ranges::count(found, Weight::Warns, &Difference::weight) == 1);

    REQUIRE(decode_differences(encode(found, Weights::Told)).value() == found);
    const Differences old = decode_differences(encode(refusing(found))).value();
    REQUIRE(old == refusing(found));
    auto wrong = encode(found, Weights::Told);
    wrong.back() = std::byte{3};
    REQUIRE_FALSE(decode_differences(wrong).ok());
    wrong.pop_back();
    REQUIRE_FALSE(decode_differences(wrong).ok());

    for (const ReasonEntry& entry : kReasons)
        REQUIRE(check_acceptable(entry.code).ok() == (entry.reason != Reason::VersionProtocol));
    REQUIRE(check_acceptable("host.memory").error().text.find("'host.memory'") != std::string::npos);
}

TEST_CASE("a device under another id is compared all the same", "[preflight]") {
    Sides sides;
    sides.net().id = "lan";
    sides.net().net->mac[0] = 6;
    const Differences found = sides.compare();
    REQUIRE(found.size() == 2);
    REQUIRE(found[1].code == "net.mac");
}

TEST_CASE("a description arrives as it was sent", "[preflight]") {
    MachineDescription machine = sample();
    machine.cpu.cpuid = {{}, {1}, {7, 1, true, 1, 2, 3, 4}, {0x80000001, 0, false, 5, 6, 7, 8}};
    machine.cpu.msrs = {{0x10a, 0x8000000000000001}};
    const auto bytes = encode(machine);
    REQUIRE(decode_description(bytes).value() == machine);
    for (std::size_t length = 0; length < bytes.size(); ++length)
        REQUIRE_FALSE(decode_description(std::span{bytes}.first(length)).ok());
    auto longer = bytes;
    longer.push_back({});
    REQUIRE_FALSE(decode_description(longer).ok());
}

TEST_CASE("counts are bounded before anything is allocated", "[preflight][hostile]") {
    MachineDescription machine;
    machine.cpu.cpuid.resize(cpu::kMaxCpuidEntries + 1);
    REQUIRE(decode_description(encode(machine)).error().text == "241 CPUID entries, at most 240 can be");
    machine = {};
    machine.cpu.msrs.resize(cpu::kMaxFeatureMsrs + 1);
    REQUIRE(decode_description(encode(machine)).error().text == "65 feature registers, at most 64 can be");
    machine = {};
    REQUIRE(decode_description(encode(machine)).error().text ==
            "the guest's processor: CPUID leaves 0 and 1 are not both there");
    machine = sample();
    machine.cpu.cpuid.push_back({1});
    REQUIRE(decode_description(encode(machine)).error().text ==
            "the guest's processor: leaf 0x1 subleaf 0 is there twice");
    machine = sample();
    machine.cpu.msrs.push_back({0x174, 0});
    REQUIRE(decode_description(encode(machine)).error().text ==
            "the guest's processor: register 0x174 does not tell features");
    machine = sample();
    machine.sections.resize(kMaxSections + 1);
    REQUIRE(decode_description(encode(machine)).error().text == "257 sections, at most 256 can be");
    machine = sample();
    machine.board.assign(kMaxNameLength + 1, 'x');
    REQUIRE_FALSE(decode_description(encode(machine)).ok());
    machine = sample();
    machine.devices[0].id = "\x1b[2J";
    REQUIRE(decode_description(encode(machine)).value().devices[0].id == "?[2J");
}

TEST_CASE("a list of differences arrives, and says when it was cut", "[preflight]") {
    const Differences few{difference(Reason::DeviceMissing, "virtio-net 'net0'"), {"x.new", "a", "b"}};
    REQUIRE(decode_differences(encode(few)).value() == few);
    REQUIRE(decode_differences(encode(Differences{})).value().empty());
    Differences many(5000, {"device.extra", std::string(2000, 's'), std::string(2000, 't')});
    const auto body = encode(many);
    REQUIRE(body.size() <= kMaxDifferenceBytes);
    const Differences arrived = decode_differences(body).value();
    REQUIRE(arrived.back().code == "more");
    REQUIRE(arrived.back().text == fmt::format("{} more differences are not listed", 5001 - arrived.size()));
    REQUIRE(arrived.front().text.size() == kMaxDifferenceText);
}

TEST_CASE("the error of a refusal has every sentence and code", "[preflight]") {
    const Differences two{difference(Reason::DeviceMissing, "virtio-net 'net0'"),
                          difference(Reason::MachineCpuCount, "cpus", {"1", "2"})};
    REQUIRE(as_error(two).text == "virtio-net 'net0': is not here [device.missing]; "
                                  "cpus: 1 vCPUs at the source, 2 here [machine.cpu-count]");
}

// docs/preflight.md has one row per reason: | `code` | text | what to do |
TEST_CASE("the page for operators lists every reason as it is", "[preflight][docs]") {
    const char* const docs = std::getenv("GODWIT_DOCS");
    REQUIRE(docs != nullptr);
    std::ifstream file{std::string{docs} + "/preflight.md"};
    REQUIRE(file.good());
    std::vector<std::string> listed;
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("| `"))
            listed.push_back(line);
    std::vector<std::string> expected;
    for (const ReasonEntry& entry : kReasons)
        expected.push_back(fmt::format("| `{}` | {} | {} |", entry.code, entry.text, entry.remedy));
    REQUIRE(listed == expected);
}

TEST_CASE("codes are distinct, and each has a case", "[preflight]") {
    std::set<std::string_view> codes;
    std::set<Reason> covered;
    for (const ReasonEntry& entry : kReasons)
        codes.insert(entry.code);
    REQUIRE(codes.size() == kReasons.size());
    REQUIRE(codes.size() >= 20);
    for (const Case& one : cases())
        covered.insert(one.reason);
    for (const ReasonEntry& entry : kReasons) {
        INFO(entry.code);
        // A peer of another version is refused before there is anything to compare: migration_test.cc.
        REQUIRE((covered.contains(entry.reason) || entry.reason == Reason::VersionProtocol));
    }
}
