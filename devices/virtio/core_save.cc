// SPDX-License-Identifier: Apache-2.0
//
// Writes the common state of a virtio device, field by field as QEMU has it; the order is design section 4.
#include "devices/virtio/core_state.h"

#include <array>

namespace godwit::virtio {

SectionId Core::id() const {
    const DeviceTraits& device = traits();
    return {.name = fmt::format("{}/{}", transport_->path(), device.record),
            .instance = 0,
            .version = device.state_version,
            .minimum_version = device.state_version,
            .record = std::string{device.record}};
}

Status Core::save(StateWriter& writer) {
    if (started_)
        return error(ErrorCode::Internal, "{}: saved while it runs", name());
    writer.step("core.start");
    writer.step("transport.save_config");
    TRY(transport_->save_config(writer));

    writer.step("core.common");
    writer.value("status", status_);
    writer.value("isr", isr_);
    writer.value("queue_sel", queue_select_);
    writer.value("guest_features", static_cast<std::uint32_t>(driver_features_ & offered_features()));
    std::vector<std::byte> config(traits().config_length);
    read_config(0, config);
    writer.value("config_len", static_cast<std::uint32_t>(config.size()));
    writer.buffer("config", config);

    writer.step("core.queues");
    writer.value("nq", static_cast<std::uint32_t>(queues_.size()));
    for (std::uint16_t i = 0; i < queues_.size(); ++i) {
        const QueueSetup& setup = queues_[i];
        const auto nesting = writer.begin_struct("vq", "virtqueue", 1, i);
        writer.value("num", std::uint32_t{setup.size});
        writer.value("desc", setup.enabled ? setup.addresses.desc.value : std::uint64_t{0});
        writer.value("last_avail_idx", last_avail_[i]);
        writer.step("transport.save_queue");
        TRY(transport_->save_queue(writer, i));
        writer.end(nesting);
    }

    writer.step("device.save_device");
    TRY(device_.save_device(writer, static_cast<std::uint32_t>(driver_features_ & offered_features())));

    writer.step("core.subsections");
    save_subsections(writer);
    if (transport_->has_extra_state()) {
        writer.step("virtio/extra_state");
        const auto nesting = writer.begin_subsection("virtio/extra_state", 1);
        TRY(transport_->save_extra_state(writer));
        writer.end(nesting);
    }
    const auto flag = [&writer](std::string_view subsection, std::string_view field, bool value) {
        if (!value)
            return;
        writer.step(subsection);
        const auto nesting = writer.begin_subsection(subsection, 1);
        writer.value(field, value);
        writer.end(nesting);
    };
    flag("virtio/started", "started", (status_ & DRIVER_OK) != 0);
    flag("virtio/disabled", "disabled", disabled_);
    return save_added(writer);
}

Status Core::save_added(StateWriter& writer) const {
    for (const CoreSubsection& added : added_) {
        if (!added.needed())
            continue;
        writer.step(added.name);
        const auto nesting = writer.begin_subsection(added.name, added.version);
        TRY(added.save(writer));
        writer.end(nesting);
    }
    return {};
}

void Core::save_subsections(StateWriter& writer) const {
    if (endian_ != DeviceEndian::Little) {
        writer.step("virtio/device_endian");
        const auto nesting = writer.begin_subsection("virtio/device_endian", 1);
        writer.value("device_endian", static_cast<std::uint8_t>(endian_));
        writer.end(nesting);
    }
    // Needed whenever a bit above 31 is offered, and VERSION_1 always is.
    {
        writer.step("virtio/64bit_features");
        const auto nesting = writer.begin_subsection("virtio/64bit_features", 1);
        writer.value("guest_features", driver_features_ & offered_features());
        writer.end(nesting);
    }
    {
        // Existing queues by name, the rest of the 1024 as one buffer: a description of 1024 structs would
        // be larger than the state.
        static constexpr std::array<std::byte, VIRTIO_QUEUE_MAX * kRingBytes> kZeros{};
        writer.step("virtio/virtqueues");
        const auto outer = writer.begin_subsection("virtio/virtqueues", 1);
        for (std::size_t i = 0; i < queues_.size(); ++i) {
            const QueueSetup& setup = queues_[i];
            const auto nesting = writer.begin_struct("vq", "virtqueue_state", 1, i);
            writer.value("avail", setup.enabled ? setup.addresses.driver.value : std::uint64_t{0});
            writer.value("used", setup.enabled ? setup.addresses.device.value : std::uint64_t{0});
            writer.end(nesting);
        }
        writer.buffer("no_queues", std::span{kZeros}.subspan(queues_.size() * kRingBytes));
        writer.end(outer);
    }
    bool resized = false;
    RingSizes sizes;
    for (std::uint16_t i = 0; i < queues_.size(); ++i) {
        sizes.sizes[i] = max_queue_size(i);
        resized = resized || queues_[i].size != max_queue_size(i);
    }
    if (resized) {
        writer.step("virtio/ringsize");
        const auto nesting = writer.begin_subsection("virtio/ringsize", 1);
        writer.fields(sizes);
        writer.end(nesting);
    }
    if (broken_) {
        writer.step("virtio/broken");
        const auto nesting = writer.begin_subsection("virtio/broken", 1);
        writer.value("broken", true);
        writer.end(nesting);
    }
}

} // namespace godwit::virtio
