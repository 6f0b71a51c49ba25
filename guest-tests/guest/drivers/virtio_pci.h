// SPDX-License-Identifier: Apache-2.0
#pragma once
// The virtio PCI transport, modern interface.  Reference: virtio 1.2, section 4.1.
// start(): attach (once), begin (reset and features), set_up_queue for each, run.  begin() may be called
// again.
#include "base/types.h"
#include "drivers/pci.h"
#include "drivers/virtqueue.h"
#include "machine/interrupts.h"

namespace guest::virtio {

class VirtioPci final : public interrupts::IntxClient {
  public:
    constexpr VirtioPci() = default;

    // The first device with this virtio id on bus 0.
    bool attach(u16 virtio_id, interrupts::Mode mode);

    bool begin(u64 wanted_features); // wanted ones that are not offered are left out
    u64 features() const { return features_; }
    bool set_up_queue(u16 index, Virtqueue& queue);
    void run();
    bool reset(); // false: the device does not come back

    template <class T>
    T config(u32 offset) const {
        return read_register<T>(device_config_ + offset);
    }
    template <class T>
    T config_stable(u32 offset) const; // 2.5.1: the same generation before and after

    bool config_changed(); // since the last call; in poll mode: maybe, now and then
    bool needs_reset() const;
    u32 slot() const { return function_.slot(); }

    void acknowledge() override;

  private:
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
    u64 features_ = 0;
    u32 msix_entries_ = 0;
    u8 first_vector_ = 0;
    u32 seen_config_ = 0;
    bool config_flag_ = false;
    u64 next_poll_ = 0;
};

template <class T>
T VirtioPci::config_stable(u32 offset) const {
    for (;;) {
        u8 before = common<u8>(config_generation);
        T value = config<T>(offset);
        if (common<u8>(config_generation) == before)
            return value;
    }
}

} // namespace guest::virtio
