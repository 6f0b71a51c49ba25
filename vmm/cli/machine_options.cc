// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/machine_options.h"

#include "devices/virtio/feature_properties.h"
#include "vmm/machine/board.h"
#include "vmm/machine/config/key_values.h"

namespace godwit::cli {

namespace {

std::string features_of(std::uint16_t device_id) {
    std::string names;
    for (const virtio::FeatureProperty& property : virtio::feature_properties(device_id))
        names += fmt::format("{}{}", names.empty() ? "" : ", ", property.name);
    return names;
}

} // namespace

void MachineOptions::add_to(CLI::App& app) {
    app.add_option("--name", name_, "name of the machine, for messages")->capture_default_str();
    app.add_option("-m,--memory", memory_, "guest RAM: bytes, or with K, M or G")->capture_default_str();
    app.add_option("-c,--cpus", cpus_, fmt::format("vCPUs, 1 to {}", board::kMaxCpus))->capture_default_str();
    app.add_option(
           "--cpu", cpu_,
           "the guest's processor: host (all that KVM gives), baseline (what nearly every host can give), "
           "or a file of `godwit cpu`")
        ->capture_default_str();
    app.add_option("--clock", clock_,
                   "the guest's clock (kvm-clock) when it has stood still, was saved or moved: host (put "
                   "forward by the time that has passed) or vm (goes on where it stood)")
        ->check(CLI::IsMember({"host", "vm"}))
        ->capture_default_str();
    app.add_option(
           "--disk", disks_,
           fmt::format(
               "a disk: path=FILE[,readonly=on|off][,werror=report|stop|enospc|ignore]"
               "[,rerror=report|stop|ignore][,FEATURE=off][,id=NAME][,addr=SLOT]; a raw image or a block "
               "device; may be repeated. What is done about errors of the host's disk: werror=enospc and "
               "rerror=report if not said. Features: {}",
               features_of(virtio::kDeviceBlock)))
        ->take_all();
    app.add_option(
           "--net", nets_,
           fmt::format(
               "a network interface: tap=IFNAME[,mac=ADDRESS][,mtu=BYTES][,FEATURE=off][,id=NAME]"
               "[,addr=SLOT]; may be repeated. Features: {}; those that need one that is off are off too",
               features_of(virtio::kDeviceNet)))
        ->take_all();
    app.add_option(
           "--rng", rngs_,
           "an entropy device: source=getrandom or source=DEVICE (such as /dev/hwrng)[,id=NAME][,addr=SLOT]; "
           "may be repeated")
        ->take_all();
    app.add_option("--serial", serial_,
                   "where the serial line goes: stdio, null, pty, file=PATH or socket=PATH")
        ->capture_default_str();
    app.add_flag("--emulation-assist", emulation_assist_,
                 "complete instructions that this host's KVM cannot emulate, instead of ending the guest");
    app.add_option("--control", control_path, "unix socket on which this process is controlled (QMP)");
    app.add_option(
           "--sandbox", sandbox_,
           "system calls and files that this process's threads do not need (docs/sandbox.md): on "
           "(one that makes such a call ends the process, with status 10), log (the kernel logs it) or off")
        ->check(CLI::IsMember({"on", "log", "off"}))
        ->capture_default_str();
    app.add_option("--sandbox-path", sandbox_paths_,
                   "a file or folder that may be named later, to save to, or for certificates; may be "
                   "repeated. Without it, whatever the user may reach")
        ->take_all();
    app.add_option("--user", user_,
                   "NAME[:GROUP]: once everything is open, go on as this user, in this group alone");
    app.add_option("--chroot", root_,
                   "a folder: once everything is open, it is the root of all that is named later");
}

Result<sandbox::Options> MachineOptions::sandbox() const {
    return sandbox::Options{TRY(sandbox::parse_mode(sandbox_)), user_, root_, sandbox_paths_, {}};
}

Result<MachineConfig> MachineOptions::config() const {
    MachineConfig config;
    config.name = name_;
    config.memory = TRY(parse_size("--memory", memory_));
    config.cpus = static_cast<std::uint32_t>(TRY(parse_number("--cpus", cpus_, 1, board::kMaxCpus)));
    config.cpu = cpu_;
    config.serial = serial_;
    config.clock = clock_ == "host" ? GuestClock::Host : GuestClock::Vm;
    config.emulation_assist = emulation_assist_;
    for (const std::string& disk : disks_)
        config.disks.push_back(TRY(parse_disk(disk)));
    for (const std::string& net : nets_)
        config.nets.push_back(TRY(parse_net(net)));
    for (const std::string& rng : rngs_)
        config.rngs.push_back(TRY(parse_rng(rng)));
    return config;
}

void BootOptions::add_to(CLI::App& app, For use) {
    const std::string_view when =
        use == For::Start ? "" : "for a reboot, instead of what comes with the guest: ";
    CLI::Option* const kernel =
        app.add_option("-k,--kernel", kernel_,
                       fmt::format("{}kernel: an ELF image with a PVH note, or a Linux bzImage", when))
            ->required(use == For::Start);
    app.add_option("-i,--initrd", initrd_, fmt::format("{}initial RAM disk", when))->needs(kernel);
    app.add_option("-a,--cmdline", command_line_, fmt::format("{}kernel command line", when))->needs(kernel);
}

void BootOptions::apply(MachineConfig& config) const {
    config.kernel = kernel_;
    config.initrd = initrd_;
    config.command_line = command_line_;
}

} // namespace godwit::cli
