// SPDX-License-Identifier: Apache-2.0
#pragma once
// The virtio PCI transport, modern interface.  Reference: virtio 1.2, section 4.1.
#include "base/types.h"
#include "drivers/pci.h"
#include "drivers/virtio_transport.h"
#include "machine/interrupts.h"

#include <array>

namespace guest::virtio {

class VirtioPci final : public VirtioTransport, public interrupts::Client {
  public:
    constexpr VirtioPci() = default;

    // The first device with this virtio id on bus 0.
    bool attach(u16 virtio_id, interrupts::Mode mode);

    bool reset() override;
    u8 read_status() override { return common<u8>(device_status); }
    bool write_status(u8 status) override;
    u32 read_features(u32 index) override;
    bool write_features(u32 index, u32 features) override;
    u32 queue_limit(u16 index) override;
    bool connect(u16 index, Virtqueue& queue) override;
    bool set_up_interrupts() override;
    void read_config(u32 offset, void* to, u32 size) override;
    u8 config_generation() override { return common<u8>(CommonOffset::config_generation); }
    bool config_interrupted() override;
    u32 where() const override { return function_.slot(); }

    void ring(u16 queue) override;

    void interrupted() override;

  private:
    static constexpr u32 max_queues = 3;

    bool find_structures();
    bool set_up_msix();
    u64 structure(u8 capability) const;

    template <class T>
    T common(CommonOffset at) const {
        return read_register<T>(common_ + at);
    }
    template <class T>
    void common(CommonOffset at, T value) const {
        write_register<T>(common_ + at, value);
    }

    pci::Function function_;
    interrupts::Mode mode_ = interrupts::Mode::Poll;
    u64 common_ = 0, notify_ = 0, isr_ = 0, device_config_ = 0;
    u32 notify_multiplier_ = 0;
    std::array<u64, max_queues> doorbells_{};
    u32 msix_entries_ = 0;
    u8 first_vector_ = 0;
    u32 seen_config_ = 0;
    bool config_flag_ = false;
};

} // namespace guest::virtio
