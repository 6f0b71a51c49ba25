// SPDX-License-Identifier: Apache-2.0
#include "drivers/virtio_pci.h"

#include "machine/cpu.h"
#include "machine/io.h"

#include <algorithm>

namespace guest::virtio {
namespace {

constexpr u16 virtio_vendor = 0x1af4, first_transitional = 0x1000, first_modern = 0x1040,
              last_modern = 0x107f;
constexpr u8 vendor_capability = 9, msix_capability = 0x11;
constexpr u32 vectors_per_device = 4; // configuration, then up to three queues
constinit u8 next_vector = VECTOR_MSIX;

u16 virtio_id(const pci::Function& f) {
    if (f.vendor() != virtio_vendor || f.device() < first_transitional || f.device() > last_modern)
        return 0;
    return f.device() >= first_modern ? static_cast<u16>(f.device() - first_modern) : f.subsystem();
}

} // namespace

bool VirtioPci::attach(u16 wanted_id, interrupts::Mode mode) {
    for (u32 slot = 0; slot < pci::slots; ++slot) {
        if (!pci::present(slot))
            continue;
        function_ = pci::Function(slot);
        if (virtio_id(function_) != wanted_id)
            continue;
        mode_ = mode;
        polled_ = mode == interrupts::Mode::Poll;
        function_.place_bars();
        function_.enable(mode == interrupts::Mode::Intx);
        if (!find_structures())
            return false;
        if (mode == interrupts::Mode::Intx)
            interrupts::share_line(slot, function_.interrupt_pin(), *this);
        return mode != interrupts::Mode::Msix || set_up_msix();
    }
    return false;
}

u64 VirtioPci::structure(u8 capability) const {
    u8 bar = function_.read<u8>(capability + 4u);
    u32 offset = function_.read<u32>(capability + 8u), length = function_.read<u32>(capability + 12u);
    if (bar > 5 || u64{offset} + length > function_.bar(bar).size)
        return 0;
    return function_.bar(bar).address + offset;
}

bool VirtioPci::find_structures() {
    for (u8 at = 0; (at = function_.find_capability(vendor_capability, at)) != 0;) {
        switch (function_.read<u8>(at + 3u)) {
        case CommonCfg:
            common_ = structure(at);
            break;
        case NotifyCfg:
            notify_ = structure(at);
            notify_multiplier_ = function_.read<u32>(at + 16u);
            break;
        case IsrCfg:
            isr_ = structure(at);
            break;
        case DeviceCfg:
            device_config_ = structure(at);
            break;
        default:
            break;
        }
    }
    return common_ != 0 && notify_ != 0 && isr_ != 0 && device_config_ != 0;
}

// Entry 0 is for configuration changes, entry n + 1 for queue n; a short table shares its last entry.
bool VirtioPci::set_up_msix() {
    constexpr u16 msix_enable = 0x8000, function_mask = 0x4000, size_mask = 0x7ff;
    constexpr u64 msi_address = 0xfee00000;
    u8 at = function_.find_capability(msix_capability);
    if (at == 0)
        return false;
    u16 control = function_.read<u16>(at + 2u);
    u32 table = function_.read<u32>(at + 4u);
    u64 entry = function_.bar(table & 7).address + (table & ~7u);
    msix_entries_ = std::min((control & size_mask) + 1u, vectors_per_device);
    first_vector_ = next_vector;
    next_vector = static_cast<u8>(next_vector + vectors_per_device);
    function_.write<u16>(at + 2u, static_cast<u16>(control | msix_enable | function_mask));
    for (u32 i = 0; i < msix_entries_; ++i, entry += 16) {
        write_register<u32>(entry, static_cast<u32>(msi_address | u64{cpus[0].apic_id} << 12));
        write_register<u32>(entry + 4, 0);
        write_register<u32>(entry + 8, first_vector_ + i);
        write_register<u32>(entry + 12, 0);
    }
    function_.write<u16>(at + 2u, static_cast<u16>((control | msix_enable) & ~function_mask));
    return true;
}

bool VirtioPci::reset() {
    constexpr int patience = 100'000;
    common<u8>(device_status, 0);
    for (int i = 0; i < patience; ++i)
        if (common<u8>(device_status) == 0)
            return true;
    return false;
}

bool VirtioPci::write_status(u8 status) {
    common<u8>(device_status, status);
    return true;
}

u32 VirtioPci::read_features(u32 index) {
    common<u32>(device_feature_select, index);
    return common<u32>(device_feature);
}

bool VirtioPci::write_features(u32 index, u32 features) {
    common<u32>(driver_feature_select, index);
    common<u32>(driver_feature, features);
    return true;
}

bool VirtioPci::set_up_interrupts() {
    if (mode_ != interrupts::Mode::Msix)
        return true;
    common<u16>(config_msix_vector, 0);
    return common<u16>(config_msix_vector) == 0;
}

u32 VirtioPci::queue_limit(u16 index) {
    common<u16>(queue_select, index);
    return index < max_queues ? common<u16>(queue_size) : 0;
}

bool VirtioPci::connect(u16 index, Virtqueue& queue) {
    common<u16>(queue_select, index);
    common<u16>(queue_size, static_cast<u16>(queue.size()));
    auto write64 = [this](CommonOffset at, u64 value) {
        common<u32>(at, static_cast<u32>(value));
        common<u32>(static_cast<CommonOffset>(at + 4), static_cast<u32>(value >> 32));
    };
    write64(queue_desc, queue.descriptors());
    write64(queue_driver, queue.driver_area());
    write64(queue_device, queue.device_area());
    if (mode_ == interrupts::Mode::Msix) {
        u16 entry = static_cast<u16>(std::min(index + 1u, msix_entries_ - 1));
        common<u16>(queue_msix_vector, entry);
        if (common<u16>(queue_msix_vector) != entry)
            return false;
    }
    doorbells_[index] = notify_ + u64{common<u16>(queue_notify_off)} * notify_multiplier_;
    common<u16>(queue_enable, 1);
    return true;
}

void VirtioPci::ring(u16 queue) {
    write_register<u16>(doorbells_[queue], queue);
}

// 4.1.3.1: fields are read in their own width; bytes are left over for those that are not aligned.
void VirtioPci::read_config(u32 offset, void* to, u32 size) {
    auto* bytes = static_cast<u8*>(to);
    for (u32 done = 0; done < size;) {
        u64 from = device_config_ + offset + done;
        u32 left = size - done;
        if (left >= 4 && from % 4 == 0) {
            u32 value = read_register<u32>(from);
            memcpy(bytes + done, &value, 4);
            done += 4;
        } else if (left >= 2 && from % 2 == 0) {
            u16 value = read_register<u16>(from);
            memcpy(bytes + done, &value, 2);
            done += 2;
        } else {
            bytes[done++] = read_register<u8>(from);
        }
    }
}

bool VirtioPci::config_interrupted() {
    if (mode_ == interrupts::Mode::Msix) {
        u32 count = cpus[0].irq_count[first_vector_];
        config_flag_ |= count != seen_config_;
        seen_config_ = count;
    }
    bool changed = config_flag_;
    config_flag_ = false;
    return changed;
}

void VirtioPci::interrupted() {
    config_flag_ |= (read_register<u8>(isr_) & isr_config) != 0;
}

} // namespace guest::virtio
