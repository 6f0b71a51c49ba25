// SPDX-License-Identifier: Apache-2.0
#pragma once
// The virtio channel I/O transport.  Reference: virtio 1.2, section 4.3; docs/ccw-transport.md.
//   ccw.rev=0|1|2          the revision to begin with; lower ones are tried when it is rejected
//   ccw.irq=classic|adapter|poll   otherwise as irq= says: intx classic, msix adapter
//   ccw.endian=little|big  byte order of a revision 0 driver
//   ccw.bell=register|operation|area   how queues are notified
// A queue is looked at only when its indicator was set and an interrupt told us to look.
#include "base/types.h"
#include "drivers/css.h"
#include "drivers/virtio_transport.h"

#include <array>

namespace guest::virtio {

class VirtioCcw final : public VirtioTransport, public css::StatusClient {
  public:
    constexpr VirtioCcw() = default;

    // The first subchannel with this virtio id.
    bool attach(u16 virtio_id, interrupts::Mode mode);

    bool reset() override;
    u8 read_status() override;
    bool write_status(u8 status) override;
    u32 read_features(u32 index) override;
    bool write_features(u32 index, u32 features) override;
    u32 queue_limit(u16 index) override;
    bool connect(u16 index, Virtqueue& queue) override;
    bool set_up_interrupts() override;
    void read_config(u32 offset, void* to, u32 size) override;
    u8 config_generation() override { return 0; } // a command reads all of it at once
    bool config_interrupted() override;
    u32 where() const override { return subchannel_.number(); }

    void ring(u16 queue) override;

    void status_taken() override;
    void adapter_interrupted() override;

  private:
    static constexpr u32 max_queues = 3;
    enum class Irq { Classic, Adapter, Poll };
    enum class Bell { Register, Operation, Area };

    void choose(interrupts::Mode mode);
    bool set_revision();
    void describe() const;
    bool done(css::Command command, const void* data, u16 count);
    bool set_address(css::Command command, const void* area);
    void tell(u32 queue);

    css::Subchannel subchannel_;
    Irq irq_ = Irq::Adapter;
    Bell bell_ = Bell::Register;
    u16 revision_ = 0;
    u8 status_ = 0;     // what was written last
    u32 first_bit_ = 0; // of our part of the adapter indicators
    bool config_flag_ = false;
    std::array<Virtqueue*, max_queues> queues_{};
    std::array<u64, max_queues> cookies_{};
    u64 indicators_ = 0, config_indicators_ = 0; // big-endian, set by the device
};

} // namespace guest::virtio
