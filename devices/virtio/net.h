// SPDX-License-Identifier: Apache-2.0
//
// The network device: one queue pair and a control queue, checksum and segmentation offloads both ways,
// mergeable receive buffers, receive filters, announcement after a migration. Virtio 1.2 section 5.1.
// Missing: more queue pairs, RSS, hash reports, USO. Migrates: NetState (all of it). Threads: loop only.
//
// Frames are moved by plain readv() and writev() when the backend is ready: both work directly on the
// driver's buffers and neither ever waits, so nothing is in flight when the device stops. No frame is read or
// sent before start().
#pragma once

#include "devices/virtio/announce.h"
#include "devices/virtio/device.h"
#include "devices/virtio/net_backend.h"
#include "devices/virtio/net_rx.h"
#include "devices/virtio/net_state.h"
#include "devices/virtio/net_tx.h"
#include "vmm/loop/loop.h"

#include <memory>
#include <optional>
#include <string>

namespace godwit::virtio {

struct NetOptions {
    std::string id = "net0";
    std::string identity;             // the default address is derived from it
    std::optional<MacAddress> mac;    // absent: a guest that comes from elsewhere keeps its own
    std::optional<std::uint16_t> mtu; // absent: VIRTIO_NET_F_MTU is not offered
    std::uint64_t features_off = 0;   // not offered (feature_properties.h)
};

class Net final : public Device {
  public:
    // Refuses an MTU outside 68 to 65535. The loop outlives the device.
    static Result<std::unique_ptr<Net>> create(NetOptions options, std::unique_ptr<FrameBackend> backend,
                                               Loop& loop);
    ~Net() override;

    const DeviceTraits& traits() const override { return traits_; }
    void read_config(std::uint32_t offset, std::span<std::byte> out) override;
    // Every field is read-only for the driver (section 5.1.4).
    void write_config(std::uint32_t, std::span<const std::byte>) override {}
    void features_negotiated(std::uint64_t features) override;

    Status start(const Activation& activation) override;
    void queue_notified(std::uint16_t queue) override;
    Status stop() override;
    void reset() override;

    Status save_device(StateWriter& writer, std::uint32_t low_features) override;
    Status load_config(std::span<const std::byte> config) override;
    Status load_device(StateReader& reader, std::uint32_t low_features) override;
    Status check_loaded(std::uint64_t features) override;
    Status commit_load(std::uint64_t features) override;
    void discard_load() override;

    // Announces the guest on the wire, and lets the guest do it where it can: now, or at the next start().
    void arrived() override;

    // As if the cable were pulled or plugged in: frames are dropped while the link is down.
    void set_link(bool up);

    const MacAddress& mac() const { return state_.mac; }
    // As configured, whatever the driver has set since.
    const MacAddress& own_mac() const { return own_mac_; }
    // Whether it was given none: then it takes that of a guest that comes. Not started.
    bool adopts_mac() const { return !options_.mac.has_value(); }
    void adopt_mac(const MacAddress& mac);
    std::optional<std::uint16_t> mtu() const { return options_.mtu; }

  private:
    // From start() to stop(); what was posted in an earlier run finds it gone.
    struct Run {
        bool receive_posted = false;
        bool transmit_posted = false;
        bool control_posted = false;
    };

    Net(NetOptions options, std::unique_ptr<FrameBackend> backend, Loop& loop);

    // Whether the driver may be offered it, in one direction at least; told in the state.
    bool has_ufo() const;
    void receive();
    void transmit();
    void control();
    Result<Turn> control_turn();
    Status control_command();
    std::uint8_t execute(std::span<const std::byte> command);
    void after(Result<Turn> turn, void (Net::*again)(), bool Run::*posted);
    void broken(const Error& what);
    void halt();
    Status watch_writable();
    void announce();
    std::uint64_t offloads_of(std::uint64_t features) const { return features & kGuestOffloads; }

    const NetOptions options_;
    MacAddress own_mac_;
    bool mac_adopted_ = false;
    const std::unique_ptr<FrameBackend> backend_;
    Loop& loop_;
    DeviceTraits traits_;

    NetState state_;
    std::uint64_t features_ = 0; // negotiated
    DeviceEndian endian_ = DeviceEndian::Little;
    std::optional<NetState> loaded_; // scratch of a load
    std::uint16_t loaded_mtu_ = 0;   // what the driver of a loaded state has seen
    bool discard_waiting_ = false;   // the backend holds frames from before this process had the guest
    bool announce_due_ = false;

    // While started.
    std::shared_ptr<Run> run_; // null as well when broken
    DeviceHost* host_ = nullptr;
    NetReceiver receiver_;
    NetTransmitter transmitter_;
    SplitQueue* control_queue_ = nullptr;
    Chain control_chain_;
    std::unique_ptr<Watch> readable_;
    std::unique_ptr<Watch> writable_; // only once the backend has blocked
    Announcer announcer_;
    log::RateLimit errors_;
};

} // namespace godwit::virtio
