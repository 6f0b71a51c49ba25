// SPDX-License-Identifier: Apache-2.0
//
// Virtio over channel I/O: virtio 1.2 section 4.3. Decodes a driver's channel commands into calls of the
// virtio core, and turns the core's notifications into indicators and interruptions. Revisions 0 (legacy) to
// 2. Migrates: VirtioCcwState, with the subchannel in it. Threads: loop.
#pragma once

#include "devices/doorbells.h"
#include "devices/virtio/core.h"
#include "devices/virtio/transport.h"
#include "transports/ccw/css.h"
#include "transports/ccw/virtio_ccw_state.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace godwit::ccw {

class VirtioCcw final : public virtio::Transport, private ChannelDevice {
  public:
    // Puts the device on a subchannel with this device number and attaches itself to the core. All references
    // outlive the transport.
    static Result<std::unique_ptr<VirtioCcw>> create(ChannelSubsystem& css, virtio::Core& core,
                                                     DoorbellRegistry& doorbells, std::uint16_t devno);
    ~VirtioCcw() override;

    const Subchannel& subchannel() const { return subchannel_; }
    std::int32_t revision() const { return state_.revision; }

    // ---- virtio::Transport

    std::string path() const override;
    void reset() override;
    bool legacy() const override { return state_.revision <= 0; }
    bool legacy_capable() const override { return true; }
    void notify_queue(std::uint16_t queue) override;
    void notify_config() override;
    Status start_doorbells() override;
    void stop_doorbells() override;
    void device_reset() override;

    Status save_config(StateWriter& writer) override;
    Status save_queue(StateWriter& writer, std::uint16_t queue) override;
    bool has_extra_state() const override { return false; }
    Status save_extra_state(StateWriter&) override { return {}; }
    Status load_config(StateReader& reader) override;
    Status load_queue(StateReader& reader, std::uint16_t queue) override;
    Status load_extra_state(StateReader&) override { return {}; }
    Status commit_load() override;
    void discard_load() override;

  private:
    struct Loaded {
        VirtioCcwState state;
        std::vector<std::uint16_t> vectors;
    };

    VirtioCcw(ChannelSubsystem& css, virtio::Core& core, std::uint16_t devno);

    // ---- ChannelDevice

    const std::string& name() const override { return core_.traits().id; }
    Reply execute(std::uint8_t command, DataStream& data) override;
    void enabled_changed() override { state_.revision = kRevisionUnset; }
    bool wants_attention() const override;
    std::optional<std::uint8_t> adapter_attention() const override;
    std::uint16_t queue_count() const override { return core_.queue_count(); }
    void ring(std::uint16_t queue) override { core_.queue_notified(queue); }

    // ---- commands: virtio_commands.cc

    Reply set_revision(DataStream& data);
    Reply reset_device(DataStream& data);
    Reply read_features(DataStream& data);
    Reply write_features(DataStream& data);
    Reply read_config(DataStream& data);
    Reply write_config(DataStream& data);
    Reply read_status(DataStream& data);
    Reply write_status(DataStream& data);
    Reply set_queue(DataStream& data);
    Reply read_queue_config(DataStream& data);
    Reply set_indicators(DataStream& data, Indicator& word, bool allowed);
    Reply set_adapter_indicators(DataStream& data);
    Reply set_byte_order(DataStream& data);
    bool driver_ok() const { return (core_.status() & virtio::DRIVER_OK) != 0; }

    Status check_loaded(const VirtioCcwState& state) const;

    ChannelSubsystem& css_;
    virtio::Core& core_;
    GuestMemory& memory_;
    VirtioCcwState state_;
    std::vector<std::uint16_t> vectors_; // of each queue: its index once it was set up
    Subchannel subchannel_;
    bool inserted_ = false;
    std::unique_ptr<Doorbells> doorbells_;
    std::optional<Loaded> loaded_;
};

} // namespace godwit::ccw
