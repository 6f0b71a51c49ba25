// SPDX-License-Identifier: Apache-2.0
//
// Reads the common state of a virtio device into scratch and checks it; then makes it live. The order is
// design section 4. Every number here comes from a peer that may be hostile.
#include "devices/virtio/config_order.h"
#include "devices/virtio/core_state.h"
#include "devices/virtio/feature_names.h"

#include <algorithm>
#include <bit>

namespace godwit::virtio {

namespace {
constexpr std::uint32_t kConfigLimit = 4096; // bytes of configuration space that we are ready to read over
} // namespace

Status Core::load(StateReader& reader, std::uint32_t) {
    auto loaded = std::make_unique<Loaded>();
    loaded->queues = std::vector<QueueSetup>(queues_.size());
    loaded->last_avail = std::vector<std::uint16_t>(queues_.size());
    for (std::uint16_t i = 0; i < queues_.size(); ++i)
        loaded->queues[i].size = max_queue_size(i);

    reader.step("core.start");
    reader.step("transport.load_config");
    TRY(transport_->load_config(reader));
    reader.step("core.common");
    TRY(load_common(reader, *loaded));
    reader.step("core.queues");
    TRY(load_queues(reader, *loaded));
    reader.step("device.load_device");
    TRY(device_.load_device(reader, static_cast<std::uint32_t>(loaded->features)));
    reader.step("core.subsections");
    TRY(load_subsections(reader, *loaded));
    TRY(load_device_config(reader, *loaded));
    reader.step("core.sanitise");
    TRY(reader.within(sanitise(*loaded)));
    reader.step("device.post_load");
    TRY(reader.within(device_.check_loaded(loaded->features)));
    loaded_ = std::move(loaded);
    return {};
}

Status Core::load_common(StateReader& reader, Loaded& loaded) {
    TRY(reader.value("status", loaded.status));
    TRY(reader.value("isr", loaded.isr));
    TRY(reader.value("queue_sel", loaded.queue_select));
    if (loaded.queue_select >= VIRTIO_QUEUE_MAX)
        return reader.within(
            corrupt("queue_sel is {}, below {} it must be", loaded.queue_select, VIRTIO_QUEUE_MAX));
    std::uint32_t low_features = 0;
    TRY(reader.value("guest_features", low_features));
    loaded.features = low_features;
    std::uint32_t config_length = 0;
    TRY(reader.value("config_len", config_length));
    if (config_length > kConfigLimit)
        return reader.within(corrupt("config_len is {}, at most {} can be", config_length, kConfigLimit));
    loaded.config.resize(config_length);
    return reader.buffer("config", loaded.config);
}

// Only the subsections tell its byte order.
Status Core::load_device_config(StateReader& reader, const Loaded& loaded) {
    const StateReader::Trail trail{reader, "config"};
    std::vector<std::byte> config = loaded.config;
    if (loaded.endian == DeviceEndian::Big)
        swap_config(traits().config_fields, config);
    return reader.within(device_.load_config(config));
}

Status Core::load_queues(StateReader& reader, Loaded& loaded) {
    std::uint32_t count = 0;
    TRY(reader.value("nq", count));
    if (count > VIRTIO_QUEUE_MAX)
        return reader.within(corrupt("nq is {}, at most {} can be", count, VIRTIO_QUEUE_MAX));
    if (count > queues_.size())
        return reader.within(
            error(ErrorCode::Incompatible, "{} queues in the stream, {} here", count, queues_.size()));
    for (std::uint16_t i = 0; i < count; ++i) {
        const StateReader::Trail trail{reader, fmt::format("vq[{}]", i)};
        QueueSetup& setup = loaded.queues[i];
        std::uint32_t size = 0;
        TRY(reader.value("num", size));
        if (!std::has_single_bit(size) || size > max_queue_size(i))
            return reader.within(error(ErrorCode::Incompatible,
                                       "size {} is not a power of two up to {}, the largest size here", size,
                                       max_queue_size(i)));
        setup.size = static_cast<std::uint16_t>(size);
        TRY(reader.value("desc", setup.addresses.desc.value));
        TRY(reader.value("last_avail_idx", loaded.last_avail[i]));
        setup.enabled = setup.addresses.desc.value != 0;
        if (!setup.enabled && loaded.last_avail[i] != 0)
            return reader.within(
                corrupt("last_avail_idx {} without a descriptor table", loaded.last_avail[i]));
        reader.step("transport.load_queue");
        TRY(transport_->load_queue(reader, i));
    }
    return {};
}

Status Core::load_subsections(StateReader& reader, Loaded& loaded) {
    for (;;) {
        const auto header = TRY(reader.next_subsection("virtio"));
        if (!header.has_value())
            break;
        const StateReader::Trail trail{reader, header->name};
        if (std::find(loaded.subsections.begin(), loaded.subsections.end(), header->name) !=
            loaded.subsections.end())
            return reader.within(corrupt("comes twice"));
        const CoreSubsection* const added = added_subsection(header->name);
        if (added == nullptr && header->version != 1)
            return reader.within(error(
                ErrorCode::Incompatible,
                "unknown subsection, or version {} of one of which only 1 is known here", header->version));
        if (added != nullptr && (header->version == 0 || header->version > added->version))
            return reader.within(error(ErrorCode::Incompatible, "version {}, up to {} is known here",
                                       header->version, added->version));
        loaded.subsections.push_back(header->name);
        reader.step(header->name);
        TRY(added != nullptr ? added->load(reader, header->version)
                             : load_subsection(reader, header->name, loaded));
    }
    for (const CoreSubsection& added : added_)
        if (std::find(loaded.subsections.begin(), loaded.subsections.end(), added.name) ==
            loaded.subsections.end())
            added.absent();
    return {};
}

const CoreSubsection* Core::added_subsection(std::string_view name) const {
    const auto found = std::find_if(added_.begin(), added_.end(),
                                    [name](const CoreSubsection& one) { return one.name == name; });
    return found == added_.end() ? nullptr : &*found;
}

Status Core::load_subsection(StateReader& reader, std::string_view name, Loaded& loaded) {
    if (name == "virtio/64bit_features") {
        std::uint64_t features = 0;
        TRY(reader.value("guest_features", features));
        if (static_cast<std::uint32_t>(features) != static_cast<std::uint32_t>(loaded.features))
            return reader.within(corrupt("{:#x} does not agree with the low word {:#x}", features,
                                         static_cast<std::uint32_t>(loaded.features)));
        loaded.features = features;
        return {};
    }
    if (name == "virtio/virtqueues") {
        for (std::size_t i = 0; i < VIRTIO_QUEUE_MAX; ++i) {
            const auto entry = TRY(reader.within(reader.bytes().take(kRingBytes)));
            const QueueAddresses rings{
                {}, Gpa{load_be<std::uint64_t>(entry)}, Gpa{load_be<std::uint64_t>(entry.subspan(8))}};
            const bool enabled = i < loaded.queues.size() && loaded.queues[i].enabled;
            if (!enabled && (rings.driver.value != 0 || rings.device.value != 0))
                return reader.within(corrupt("addresses for queue {}, which is not enabled", i));
            if (enabled) {
                loaded.queues[i].addresses.driver = rings.driver;
                loaded.queues[i].addresses.device = rings.device;
            }
        }
        return {};
    }
    if (name == "virtio/ringsize") {
        // Where the source would go back to at a reset; a reset here offers our own sizes.
        RingSizes sizes;
        return reader.fields(sizes);
    }
    if (name == "virtio/device_endian") {
        std::uint8_t endian = 0;
        TRY(reader.value("device_endian", endian));
        if (endian != static_cast<std::uint8_t>(DeviceEndian::Little) &&
            endian != static_cast<std::uint8_t>(DeviceEndian::Big))
            return reader.within(corrupt("{} is neither little (1) nor big (2)", endian));
        loaded.endian = static_cast<DeviceEndian>(endian);
        return {};
    }
    if (name == "virtio/broken")
        return reader.value("broken", loaded.broken);
    if (name == "virtio/started")
        return reader.value("started", loaded.started);
    if (name == "virtio/disabled")
        return reader.value("disabled", loaded.disabled);
    if (name == "virtio/extra_state") {
        if (!transport_->has_extra_state())
            return reader.within(error(ErrorCode::Incompatible, "the transport here has no extra state"));
        return transport_->load_extra_state(reader);
    }
    return reader.within(error(ErrorCode::Incompatible, "unknown subsection"));
}

// QEMU always sends these for what we offer. Without them it would go on with less: a legacy driver, rings at
// address zero, a device that never starts.
Status Core::require_subsections(const Loaded& loaded) const {
    const auto require = [&loaded](std::string_view name) -> Status {
        const auto& seen = loaded.subsections;
        if (std::find(seen.begin(), seen.end(), name) == seen.end())
            return corrupt("{} is missing", name);
        return {};
    };
    TRY(require("virtio/64bit_features"));
    TRY(require("virtio/virtqueues"));
    if (transport_->has_extra_state())
        TRY(require("virtio/extra_state"));
    if (loaded.started != ((loaded.status & DRIVER_OK) != 0))
        return corrupt("virtio/started does not agree with status {:#x}", loaded.status);
    return {};
}

Status Core::sanitise(Loaded& loaded) const {
    TRY(require_subsections(loaded));
    const std::uint64_t missing = loaded.features & ~offered_features();
    if (missing != 0)
        return error(ErrorCode::Incompatible, "feature {} not offered here",
                     feature_names(traits().device_id, missing));
    const bool legacy = !has_feature(loaded.features, VIRTIO_F_VERSION_1);
    if ((loaded.status & (FEATURES_OK | DRIVER_OK)) != 0 && legacy && !transport_->legacy_capable())
        return error(ErrorCode::Incompatible,
                     "the driver is a legacy one (without VIRTIO_F_VERSION_1), which "
                     "is not supported here");
    if ((loaded.status & DRIVER_OK) != 0 && (loaded.status & FEATURES_OK) == 0 &&
        !(legacy && transport_->legacy_capable()))
        return corrupt("status {:#x} has DRIVER_OK without FEATURES_OK", loaded.status);
    if (loaded.endian == DeviceEndian::Big && !legacy)
        return corrupt("device_endian is big, with VIRTIO_F_VERSION_1");
    if ((loaded.status & DEVICE_NEEDS_RESET) != 0)
        loaded.broken = true;
    for (std::uint16_t i = 0; i < loaded.queues.size(); ++i)
        if (loaded.queues[i].enabled)
            TRY_IN(sanitise_queue(i, loaded), fmt::format("vq[{}]", i));
    return {};
}

Status Core::sanitise_queue(std::uint16_t index, const Loaded& loaded) const {
    const QueueSetup& setup = loaded.queues[index];
    TRY(SplitQueue::check_areas(memory_, setup.size, setup.addresses));
    // The indices of a broken device may be what broke it, and without DRIVER_OK nobody has written them.
    if ((loaded.status & DRIVER_OK) == 0 || loaded.broken)
        return {};
    auto queue = TRY(make_queue(setup, loaded.features, loaded.endian, loaded.last_avail[index]));
    TRY(queue.available());
    return {};
}

Status Core::commit_load() {
    if (loaded_ == nullptr)
        return {};
    if (started_)
        return error(ErrorCode::Internal, "{}: state was loaded while it runs", name());
    const auto loaded = std::move(loaded_);
    paused_ = true;
    driver_features_ = loaded->features;
    status_ = loaded->status;
    isr_ = loaded->isr;
    queue_select_ = loaded->queue_select;
    endian_ = loaded->endian;
    broken_ = loaded->broken;
    disabled_ = loaded->disabled;
    queues_ = loaded->queues;
    last_avail_ = loaded->last_avail;
    TRY(transport_->commit_load());
    if ((status_ & (FEATURES_OK | DRIVER_OK)) != 0)
        device_.features_negotiated(driver_features_);
    return device_.commit_load(driver_features_);
}

void Core::discard_load() {
    loaded_.reset();
    transport_->discard_load();
    device_.discard_load();
}

} // namespace godwit::virtio
