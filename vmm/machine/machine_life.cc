// SPDX-License-Identifier: Apache-2.0
//
// Boot, hold and release, reset, and the end of a machine.
#include "vmm/machine/machine.h"

#include "vmm/base/log.h"
#include "vmm/kvm/boot_state.h"
#include "vmm/machine/acpi/acpi.h"
#include "vmm/machine/board.h"

#include <algorithm>
#include <thread>

namespace godwit {

namespace {

constexpr std::chrono::milliseconds kSerialPatience{500};

Status set_entry(kvm::Vcpu& vcpu, const boot::EntryState& entry) {
    if (entry.kind == boot::EntryKind::Pvh)
        return kvm::set_pvh_entry(vcpu, Gpa{entry.rip}, Gpa{entry.rbx});
    return kvm::set_linux64_entry(vcpu, {.entry = Gpa{entry.rip},
                                         .zero_page = Gpa{entry.rsi},
                                         .page_tables = Gpa{entry.cr3},
                                         .gdt = entry.gdt_base,
                                         .stack = {}});
}

} // namespace

Machine::~Machine() {
    // The guest first: nothing must reach a device that goes. Then the devices, on their thread.
    if (vcpus_ != nullptr && running())
        vcpus_->pause();
    loop_.call([&] {
        for (const auto& unit : units_) {
            if (const Status status = unit->core().pause(); !status.ok())
                log::error("{}", status.error().text);
        }
    });
    if (serial_ != nullptr) {
        // What the guest said last is still on its way to the console.
        if (const Status status = serial_->flush(kSerialPatience); !status.ok())
            log::warning("{}", status.error().text);
    }
    vcpus_.reset();
    loop_.call([&] {
        units_.clear();
        css_.reset();
        pci_host_.reset();
        ged_.reset();
        serial_.reset();
        console_.reset();
    });
}

Result<boot::PreparedKernel> Machine::prepare_kernel() {
    if (!kernel_.valid()) // the first one was dropped when it was placed
        return boot::prepare(boot_source());
    boot::PreparedKernel kernel = TRY(kernel_.get());
    set_given_boot_source(kernel.source());
    return kernel;
}

Status Machine::read_boot_source() {
    if (kernel_.valid())
        TRY(prepare_kernel());
    return {};
}

Status Machine::boot() {
    TRY(lock_disks_at_start());
    const acpi::AcpiBlob tables = TRY(acpi::build_tables({config_.cpus, mmio64_, css_ != nullptr}));
    TRY(acpi::place_tables(tables, *memory_));
    if (!generation_)
        generation_ = TRY(acpi::new_generation());
    TRY(acpi::place_generation(*generation_, *memory_));

    const boot::PreparedKernel kernel = TRY(prepare_kernel());
    const boot::LoadedKernel loaded = TRY(kernel.place(*memory_, {tables.rsdp, tables.reservations}));
    return set_entry(vcpus_->at(0), loaded.entry);
}

Status Machine::clear() {
    generation_ = acpi::generation_in(*memory_); // also of a guest that came from elsewhere
    loop_.call([&] { reset_devices(); });
    TRY(memory_->discard_all());
    TRY(vm_->irqs().reset());
    return vcpus_->reset();
}

void Machine::reset_devices() {
    for (const auto& unit : units_)
        unit->reset();
    pci_host_->reset();
    if (css_ != nullptr)
        css_->reset();
    serial_->reset();
    ged_->reset();
}

Status Machine::stop() {
    vcpus_->pause();
    return stop_devices();
}

Status Machine::start() {
    TRY(start_devices());
    vcpus_->resume();
    return {};
}

Status Machine::stop_devices() {
    serial_->pause();
    Status result;
    loop_.call([&] {
        if (css_ != nullptr)
            css_->pause();
        for (const auto& unit : units_) {
            if (Status status = unit->core().pause(); !status.ok())
                result = std::move(status);
        }
    });
    // What devices raised last must be in the interrupt controllers before these are read.
    if (const Status settled = vm_->irqs().settle(); !settled.ok())
        return settled;
    return result;
}

Status Machine::start_devices() {
    serial_->resume();
    return loop_.call([&]() -> Status {
        for (const auto& unit : units_)
            TRY(unit->core().resume());
        if (css_ != nullptr)
            css_->resume();
        return {};
    });
}

void Machine::press_power_button() {
    ged_->press_power_button();
}

Status Machine::lock_disks() {
    return loop_.call([&]() -> Status {
        for (const auto& unit : units_)
            TRY(unit->acquire());
        return {};
    });
}

Status Machine::unlock_disks() {
    return loop_.call([&]() -> Status {
        for (const auto& unit : units_)
            TRY(unit->relinquish());
        return {};
    });
}

WriteBack::Pass Machine::write_back_pass() const {
    std::vector<std::shared_ptr<virtio::StableStorage>> storages;
    for (const auto& unit : units_)
        if (auto storage = unit->storage(); storage != nullptr)
            storages.push_back(std::move(storage));
    return [storages = std::move(storages)] { return virtio::write_back_all(storages); };
}

std::vector<DiskContent> Machine::disk_contents() const {
    std::vector<DiskContent> contents;
    for (const auto& unit : units_)
        if (auto content = unit->disk_content())
            contents.push_back(std::move(*content));
    return contents;
}

Status Machine::begin_generation() {
    if (!acpi::generation_in(*memory_))
        return {}; // it was not told where to look
    const acpi::GenerationId fresh = TRY(acpi::new_generation());
    TRY(acpi::place_generation(fresh, *memory_));
    ged_->generation_changed();
    return {};
}

bool Machine::waits_for_disk() const {
    return loop_.call(
        [&] { return std::ranges::any_of(units_, [](const auto& unit) { return unit->stalled(); }); });
}

void Machine::arrived() {
    loop_.call([&] {
        for (const auto& unit : units_)
            unit->core().arrived();
    });
}

// ---- on vCPU threads

void Machine::on_stop(std::uint32_t, kvm::StopReason reason) {
    switch (reason) {
    case kvm::StopReason::SystemShutdown:
        return power_off();
    case kvm::StopReason::SystemReset:
        return reset_requested();
    case kvm::StopReason::TripleFault:
    case kvm::StopReason::SystemCrash:
        return crashed(error(ErrorCode::Guest, "the guest crashed: {}", to_string(reason)));
    }
}

void Machine::on_error(std::uint32_t, Error error) {
    crashed(std::move(error));
}

void Machine::crashed(Error why) {
    if (stop_by_guest(GuestStop::Crash))
        events_.guest_crashed(std::move(why));
}

void Machine::power_off() {
    if (stop_by_guest(GuestStop::PowerOff))
        events_.guest_powered_off();
}

void Machine::reset_requested() {
    if (stop_by_guest(GuestStop::Reset))
        events_.guest_reset();
}

} // namespace godwit
