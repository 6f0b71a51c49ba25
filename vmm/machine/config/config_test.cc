// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/config/key_values.h"
#include "vmm/machine/config/machine_config.h"

#include <catch2/catch.hpp>

using namespace godwit;

TEST_CASE("a disk option gives path, mode and id", "[config]") {
    const auto disk = parse_disk("path=/a,,b.raw,readonly=on,id=root,addr=3");
    REQUIRE(disk.ok());
    CHECK(disk.value().path == "/a,b.raw");
    CHECK(disk.value().readonly);
    CHECK(disk.value().id == "root");
    CHECK(disk.value().place.slot == 3);
}

TEST_CASE("a disk has a policy for errors of each direction", "[config]") {
    using virtio::ErrorPolicy;
    const auto disk = [](const char* text) { return parse_disk(text).value(); };
    CHECK(disk("path=a").write_errors == ErrorPolicy::Enospc);
    CHECK(disk("path=a").read_errors == ErrorPolicy::Report);
    CHECK(disk("path=a,werror=stop,rerror=ignore").write_errors == ErrorPolicy::Stop);
    CHECK(disk("path=a,werror=stop,rerror=ignore").read_errors == ErrorPolicy::Ignore);
    CHECK(disk("path=a,werror=report,rerror=stop").write_errors == ErrorPolicy::Report);
    CHECK(disk("path=a,werror=ignore,rerror=stop").read_errors == ErrorPolicy::Stop);
    CHECK(parse_disk("path=a,rerror=enospc").error().text ==
          "--disk: rerror=enospc is none of report, stop, ignore");
    CHECK(parse_disk("path=a,werror=halt").error().text ==
          "--disk: werror=halt is none of report, stop, enospc, ignore");
}

TEST_CASE("features are turned off by QEMU's names, with what needs them", "[config]") {
    const auto bit = [](unsigned number) { return std::uint64_t{1} << number; };
    CHECK(parse_disk("path=a").value().features_off == 0);
    CHECK(parse_disk("path=a,discard=off,write-zeroes=no,config-wce=off,event_idx=on").value().features_off ==
          (bit(13) | bit(14) | bit(11)));
    CHECK(parse_net("tap=t,host_ufo=off,guest_ufo=off,csum=on").value().features_off == (bit(14) | bit(10)));
    CHECK(parse_net("tap=t,csum=off").value().features_off ==
          (bit(0) | bit(11) | bit(12) | bit(13) | bit(14))); // HOST_TSO4, HOST_TSO6, HOST_ECN, HOST_UFO
    CHECK(parse_net("tap=t,indirect_desc=off,queue_reset=off").value().features_off == (bit(28) | bit(40)));
    const auto text = [](auto result) { return result.ok() ? std::string{} : result.error().text; };
    CHECK(text(parse_net("tap=t,csum=off,host_tso4=on")) ==
          "--net: host_tso4=on needs a feature that is off (virtio 1.2 section 5.1.3.1)");
    CHECK(text(parse_net("tap=t,csum=perhaps")) == "--net: csum=perhaps is neither on nor off");
    CHECK_THAT(text(parse_net("tap=t,gso=off")), Catch::Matchers::StartsWith("--net: unknown key 'gso' in"));
    CHECK_THAT(text(parse_disk("path=a,csum=off")),
               Catch::Matchers::StartsWith("--disk: unknown key 'csum' in"));
}

TEST_CASE("a wrong device option is refused by name", "[config]") {
    const auto text = [](auto result) { return result.ok() ? std::string{} : result.error().text; };
    CHECK(text(parse_disk("path=a,read_only=on")) ==
          "--disk: unknown key 'read_only' in 'path=a,read_only=on' (known: path, readonly, werror, rerror, "
          "id, transport, addr, devno, config-wce, discard, write-zeroes, indirect_desc, event_idx, "
          "queue_reset)");
    CHECK(text(parse_disk("readonly=on")) == "--disk: path= is missing");
    CHECK(text(parse_disk("path=a,path=b")) == "--disk: key 'path' is given twice in 'path=a,path=b'");
    CHECK(text(parse_disk("path=a,readonly=perhaps")) == "--disk: readonly=perhaps is neither on nor off");
    CHECK(text(parse_disk("path=a,addr=0")) == "--disk: addr: 0 is not between 1 and 31");
    CHECK(text(parse_net("tap=t,mac=01:00:00:00:00:01")) ==
          "--net: MAC address '01:00:00:00:00:01': this is a group address");
    CHECK_FALSE(parse_net("tap=t,mac=02:00:00:00:00").ok());
    CHECK(text(parse_net("tap=t,mtu=67")) == "--net: mtu: 67 is not between 68 and 65535");
}

TEST_CASE("an entropy device says where its bytes come from", "[config]") {
    const auto text = [](auto result) { return result.ok() ? std::string{} : result.error().text; };
    const auto rng = parse_rng("source=/dev/hwrng,id=seed,transport=ccw,devno=0.0.0003");
    REQUIRE(rng.ok());
    CHECK(rng.value().source == "/dev/hwrng");
    CHECK(rng.value().id == "seed");
    CHECK(rng.value().place.devno == 3);
    CHECK(text(parse_rng("id=seed")) == "--rng: source= is missing");
    CHECK(text(parse_rng("source=getrandom,rate=5")) ==
          "--rng: unknown key 'rate' in 'source=getrandom,rate=5' "
          "(known: source, id, transport, addr, devno)");
}

TEST_CASE("sizes take K, M and G", "[config]") {
    CHECK(*parse_size("x", "4096") == 4096);
    CHECK(*parse_size("x", "64K") == 65536);
    CHECK(*parse_size("x", "3G") == std::uint64_t{3} << 30);
    for (const char* bad : {"", "G", "-1", "1.5G", "1T", "1 G", "99999999999999999999", "9999999999G"})
        CHECK_FALSE(parse_size("x", bad).ok());
}

TEST_CASE("a configuration is completed and checked as a whole", "[config]") {
    MachineConfig config;
    config.disks = {DiskConfig{"a", false, "", {}}, DiskConfig{"b", false, "", {}}};
    REQUIRE(complete(config).ok());
    CHECK(config.disks[1].id == "disk1");
    SECTION("ids are unique") {
        config.nets = {NetConfig{"t", {}, {}, "disk0", {}}};
        CHECK(complete(config).error().text == "--net: id 'disk0' is used twice");
    }
    SECTION("slots are unique") {
        config.disks[0].place.slot = 4;
        config.disks[1].place.slot = 4;
        CHECK(complete(config).error().text == "--disk: PCI slot 4 is used twice");
    }
    SECTION("memory is a multiple of the page size") {
        config.memory = kMinMemory + 1;
        CHECK_FALSE(complete(config).ok());
    }
    SECTION("vCPUs have bounds") {
        config.cpus = 65;
        CHECK_FALSE(complete(config).ok());
        config.cpus = 0;
        CHECK_FALSE(complete(config).ok());
    }
}

TEST_CASE("a device says its transport, and its place there", "[config]") {
    const auto text = [](auto result) { return result.ok() ? std::string{} : result.error().text; };
    const auto disk = parse_disk("path=a,transport=ccw,devno=0.0.00fe");
    REQUIRE(disk.ok());
    CHECK(disk.value().place.transport == TransportKind::Ccw);
    CHECK(disk.value().place.devno == 0xfe);
    CHECK(parse_net("tap=t").value().place.transport == TransportKind::Pci);
    CHECK(text(parse_disk("path=a,transport=mmio")) == "--disk: transport=mmio is neither pci nor ccw");
    CHECK(text(parse_net("tap=t,devno=0.0.0001")) == "--net: devno=0.0.0001 is for transport=ccw");
    CHECK(text(parse_net("tap=t,transport=ccw,addr=3")) == "--net: addr=3 is for transport=pci");
    for (const char* bad : {"1", "0.0.1", "0.1.0001", "fe.0.0001", "0.0.00011", "0.0.00g1", "0.0.", ""})
        CHECK(text(parse_disk(fmt::format("path=a,transport=ccw,devno={}", bad))) ==
              fmt::format("--disk: devno={} is not of the form 0.0.0001, with four hexadecimal digits", bad));
}

TEST_CASE("device numbers are given in the order of the options, around those that were chosen", "[config]") {
    MachineConfig config;
    for (const char* option : {"path=a,transport=ccw", "path=b,transport=ccw,devno=0.0.0002", "path=c"})
        config.disks.push_back(parse_disk(option).value());
    config.nets.push_back(parse_net("tap=t,transport=ccw").value());
    REQUIRE(complete(config).ok());
    CHECK(config.disks[0].place.devno == 1);
    CHECK(config.disks[1].place.devno == 2);
    CHECK_FALSE(config.disks[2].place.devno.has_value());
    CHECK(config.nets[0].place.devno == 3);
    CHECK(has_channel_io(config));

    config.rngs.push_back(parse_rng("source=getrandom,transport=ccw").value());
    REQUIRE(complete(config).ok());
    CHECK(config.rngs[0].id == "rng0");
    CHECK(config.rngs[0].place.devno == 4);

    config.nets[0].place.devno = 2;
    CHECK(complete(config).error().text == "device number 0.0.0002 is used twice");
    for (DiskConfig& disk : config.disks)
        disk.place = {};
    config.nets.clear();
    CHECK(has_channel_io(config));
    config.rngs.clear();
    CHECK_FALSE(has_channel_io(config));
}
