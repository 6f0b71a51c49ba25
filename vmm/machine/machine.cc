// SPDX-License-Identifier: Apache-2.0
//
// How the board is put together. Its life is in machine_life.cc.
#include "vmm/machine/machine.h"

#include "devices/console/make_console.h"
#include "vmm/base/log.h"
#include "vmm/kvm/state/sections.h"
#include "vmm/machine/board.h"
#include "vmm/machine/cpu_choice.h"
#include "vmm/machine/loop_section.h"

#include <algorithm>

namespace godwit {

namespace {

// CPUID leaf 0x80000008, bits 7 to 0 of EAX; 36 without the leaf (Intel SDM volume 3, section 4.1.4).
std::uint32_t physical_address_bits(const kvm::CpuidTable& cpuid) {
    const kvm::CpuidEntry* const leaf = kvm::find_leaf(cpuid, 0x80000008);
    return std::clamp<std::uint32_t>(leaf == nullptr ? 36 : leaf->eax & 0xff, 36, 52);
}

} // namespace

Machine::Machine(const MachineConfig& config, Loop& loop, MachineEvents& events)
    : config_(config), loop_(loop), events_(events) {}

Result<std::unique_ptr<Machine>> Machine::create(const MachineConfig& config, Loop& loop,
                                                 MachineEvents& events) {
    std::unique_ptr<Machine> machine{new Machine{config, loop, events}};
    if (!config.kernel.empty()) {
        // Reading and unpacking go on while the VM is set up.
        machine->kernel_ = boot::prepare_in_background(
            {config.kernel, config.initrd.empty() ? std::nullopt : std::optional{config.initrd},
             config.command_line},
            config.memory);
    }
    TRY(machine->build_core());
    TRY(loop.call([&] { return machine->build_chipset(); }));
    TRY(loop.call([&] { return machine->build_units(); }));
    machine->list_sections();
    return machine;
}

Status Machine::build_core() {
    memory_ = TRY(GuestMemory::create(config_.memory, board::kLowRamLimit));
    kvm_ = TRY(kvm::Kvm::open());
    vm_ = TRY(kvm::Vm::create(*kvm_, *memory_));
    dirty_log_ = std::make_unique<kvm::DirtyLog>(*vm_);
    cpu::CpuModel host{TRY(kvm::make_cpuid_template(*kvm_)), {}};
    vcpus_ = TRY(kvm::VcpuSet::create(*vm_, {config_.cpus,
                                             host,
                                             {ports_, mmio_},
                                             *this,
                                             config_.emulation_assist,
                                             config_.clock == GuestClock::Host}));
    host.msrs = vcpus_->at(0).cpu_model().msrs;
    cpu_offer_ = TRY(choose_cpu(config_.cpu, host));
    if (cpu_offer_ != host)
        TRY(vcpus_->adopt_cpu(cpu_offer_));
    mmio64_ = board::pcie_mmio64(physical_address_bits(vcpus_->at(0).cpuid()));
    loop_.call([&] { vcpus_->set_loop_thread(std::this_thread::get_id()); });
    return {};
}

Status Machine::adopt_cpu(const cpu::CpuModel& model) {
    TRY(vcpus_->adopt_cpu(model));
    mmio64_ = board::pcie_mmio64(physical_address_bits(vcpus_->at(0).cpuid()));
    loop_.call([&] {
        pci_host_->set_windows(
            {{board::kPcieMmio32.base, board::kPcieMmio32.size}, {mmio64_.base, mmio64_.size}});
    });
    return {};
}

void Machine::adopt_devices(const std::vector<migration::DeviceDescription>& devices) {
    loop_.call([&] {
        for (const auto& unit : units_) {
            const auto counterpart =
                std::ranges::find(devices, unit->core().traits().id, &migration::DeviceDescription::id);
            if (counterpart != devices.end())
                unit->adopt(*counterpart);
        }
    });
}

Status Machine::build_chipset() {
    const ConsoleSpec spec = TRY(parse_console_spec(config_.serial));
    console_ = TRY(make_console(loop_, spec));
    console_socket_ = console_->listener();
    serial_irq_ = TRY(vm_->irqs().line(board::kSerialGsi));
    serial_ = std::make_unique<Serial>(*serial_irq_, *console_);
    TRY(ports_.map(board::kSerialPorts.base, board::kSerialPorts.size, *serial_));

    ged_irq_ = TRY(vm_->irqs().line(board::kGedGsi));
    ged_ = std::make_unique<Ged>(*ged_irq_, static_cast<Ged::Events&>(*this));
    TRY(mmio_.map(board::kGedEvents.base, board::kGedEvents.size, ged_->event_registers()));
    TRY(mmio_.map(board::kGedRegisters.base, board::kGedRegisters.size, ged_->sleep_registers()));

    TRY(ports_.map(board::kResetControlPort.base, board::kResetControlPort.size, reset_control_));
    TRY(ports_.map(board::kKeyboardCommandPort.base, board::kKeyboardCommandPort.size, keyboard_reset_));

    pci::HostConfig host;
    host.ecam = board::kPcieEcam.base;
    host.windows = {{board::kPcieMmio32.base, board::kPcieMmio32.size}, {mmio64_.base, mmio64_.size}};
    host.intx_gsi = board::kPcieIntxGsiBase;
    pci_host_ = TRY(pci::PciHost::create(loop_, mmio_, vm_->irqs(), host));

    static_assert(board::kChannelIo.size == ccw::kWindowSize);
    if (has_channel_io(config_))
        css_ = TRY(ccw::ChannelSubsystem::create(
            loop_, mmio_, *memory_, vm_->irqs(),
            {board::kChannelIo.base, board::kChannelIoGsi, board::kChannelAdapterGsi}));
    return {};
}

Status Machine::build_units() {
    const UnitPlaces places{loop_, *memory_, *pci_host_, css_.get(), vm_->irqs(), vm_->doorbells(), events_};
    for (const DiskConfig& disk : config_.disks)
        units_.push_back(TRY(make_disk_unit(places, disk)));
    for (const NetConfig& net : config_.nets)
        units_.push_back(TRY(make_net_unit(places, net, config_.name)));
    for (const RngConfig& rng : config_.rngs)
        units_.push_back(TRY(make_rng_unit(places, rng)));
    return {};
}

// The order of QEMU's microvm, so that its tools and itself find everything where they look for it.
void Machine::list_sections() {
    const auto own = [&](std::unique_ptr<StateSection> section) {
        sections_.push_back(section.get());
        owned_sections_.push_back(std::move(section));
    };
    own(kvm::make_timer_section(vcpus_->clock()));
    for (std::uint32_t i = 0; i < vcpus_->size(); ++i) {
        for (auto& section : kvm::make_cpu_sections(*vcpus_, i))
            own(std::move(section));
    }
    own(kvm::make_ioapic_section(*vm_));
    own(kvm::make_kvmclock_section(vcpus_->kvmclock()));
    own(std::make_unique<GedSection>(*ged_));
    for (StateSection* const section : pci_host_->sections())
        own(std::make_unique<LoopSection>(loop_, *section));
    own(std::make_unique<SerialSection>(*serial_));
    for (const auto& unit : units_)
        own(std::make_unique<LoopSection>(loop_, unit->core()));
    if (css_ != nullptr)
        own(std::make_unique<LoopSection>(loop_, css_->section()));
}

} // namespace godwit
