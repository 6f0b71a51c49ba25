// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/core.h"

#include "devices/virtio/config_order.h"
#include "devices/virtio/core_state.h"
#include "devices/virtio/feature_names.h"

#include <algorithm>
#include <bit>

namespace godwit::virtio {

namespace {

constexpr std::uint64_t kCoreFeatures = feature(VIRTIO_F_INDIRECT_DESC) | feature(VIRTIO_F_EVENT_IDX) |
                                        feature(VIRTIO_F_VERSION_1) | feature(VIRTIO_F_RING_RESET);
constexpr std::uint8_t kDriverBits = ACKNOWLEDGE | DRIVER | DRIVER_OK | FEATURES_OK | FAILED;

constexpr std::uint8_t without(std::uint8_t status, std::uint8_t bits) {
    return static_cast<std::uint8_t>(status & ~bits);
}
constexpr bool has_all(std::uint8_t status, std::uint8_t bits) {
    return (status & bits) == bits;
}

} // namespace

Core::Core(Device& device, GuestMemory& memory) : device_(device), memory_(memory) {
    const std::size_t count = traits().queue_sizes.size();
    queues_.resize(count);
    last_avail_.resize(count);
    live_queues_.resize(count);
    activation_.resize(count);
    for (std::uint16_t i = 0; i < count; ++i)
        forget_queue(i);
}

Core::~Core() = default;

// ---- negotiation

std::uint64_t Core::offered_features() const {
    return (traits().features | kCoreFeatures) & ~traits().features_off;
}

void Core::set_driver_features(std::uint64_t features) {
    if ((status_ & (FEATURES_OK | DRIVER_OK)) == 0)
        driver_features_ = features;
}

void Core::set_status(std::uint8_t status) {
    if (status == 0) {
        reset_pending_ = !reset_device();
        return;
    }
    reset_pending_ = false; // the driver no longer waits for it
    auto wanted = static_cast<std::uint8_t>(status_ | (status & kDriverBits));
    if ((wanted & ~status_ & FEATURES_OK) != 0 && !features_accepted(wanted))
        wanted = without(wanted, FEATURES_OK);
    if ((wanted & ~status_ & DRIVER_OK) != 0 && (wanted & FEATURES_OK) == 0) {
        if (!transport_->legacy()) {
            guest_errors_.warning("{}: DRIVER_OK without FEATURES_OK is refused", name());
            wanted = without(wanted, DRIVER_OK);
        } else if (!features_accepted(wanted)) {
            wanted = without(wanted, DRIVER_OK);
        }
    }
    const bool goes_live = (wanted & ~status_ & DRIVER_OK) != 0;
    status_ = wanted;
    if (goes_live && may_start())
        restart_device();
}

// Section 3.1.1 steps 4 to 6: FEATURES_OK stays clear when the features do not fit. A legacy driver's are
// judged when it says DRIVER_OK.
bool Core::features_accepted(std::uint8_t status) {
    const std::uint64_t unknown = driver_features_ & ~offered_features();
    if (!has_all(status, ACKNOWLEDGE | DRIVER))
        guest_errors_.warning("{}: features before ACKNOWLEDGE and DRIVER are refused", name());
    else if (unknown != 0)
        guest_errors_.warning("{}: the driver wants {}, which was not offered", name(),
                              feature_names(traits().device_id, unknown));
    else if (!has_feature(driver_features_, VIRTIO_F_VERSION_1) && !transport_->legacy())
        guest_errors_.warning("{}: the driver does not accept VIRTIO_F_VERSION_1", name());
    else {
        device_.features_negotiated(driver_features_);
        return true;
    }
    return false;
}

// ---- queues

const QueueSetup* Core::queue(std::uint16_t index) const {
    return index < queues_.size() ? &queues_[index] : nullptr;
}

std::uint16_t Core::max_queue_size(std::uint16_t index) const {
    return index < queues_.size() ? traits().queue_sizes[index] : std::uint16_t{0};
}

void Core::set_queue_size(std::uint16_t index, std::uint16_t size) {
    if (index >= queues_.size() || queues_[index].enabled)
        return;
    if (!std::has_single_bit(size) || size > max_queue_size(index)) {
        guest_errors_.warning("{}: size {} for queue {} is ignored", name(), size, index);
        return;
    }
    queues_[index].size = size;
}

void Core::set_queue_addresses(std::uint16_t index, const QueueAddresses& addresses) {
    if (index < queues_.size() && !queues_[index].enabled)
        queues_[index].addresses = addresses;
}

void Core::enable_queue(std::uint16_t index) {
    if (index >= queues_.size() || queues_[index].enabled)
        return;
    QueueSetup& setup = queues_[index];
    if (setup.addresses.desc.value == 0) {
        guest_errors_.warning("{}: queue {} has no descriptor table and cannot be enabled", name(), index);
        return;
    }
    if (auto checked = SplitQueue::check_areas(memory_, setup.size, setup.addresses); !checked.ok()) {
        device_broken(std::move(checked).error().in(fmt::format("queue {}", index)));
        return;
    }
    const bool live = started_;
    if (auto stopped = stop_device(); !stopped.ok()) {
        device_broken(stopped.error());
        return;
    }
    setup.enabled = true;
    if (live && may_start())
        restart_device();
}

void Core::reset_queue(std::uint16_t index) {
    if (has_feature(driver_features_, VIRTIO_F_RING_RESET))
        give_up_queue(index);
}

void Core::give_up_queue(std::uint16_t index) {
    if (index >= queues_.size())
        return;
    const bool live = started_;
    if (auto stopped = stop_device(); !stopped.ok()) {
        device_broken(stopped.error());
        return;
    }
    forget_queue(index);
    if (live && may_start())
        restart_device();
}

void Core::forget_queue(std::uint16_t index) {
    queues_[index] = QueueSetup{.size = traits().queue_sizes[index], .enabled = false, .addresses = {}};
    last_avail_[index] = 0;
}

void Core::queue_notified(std::uint16_t index) {
    if (running_ && index < live_queues_.size() && live_queues_[index].has_value())
        device_.queue_notified(index);
}

// ---- configuration space and interrupts

void Core::read_config(std::uint32_t offset, std::span<std::byte> out) {
    std::fill(out.begin(), out.end(), std::byte{0});
    const std::uint32_t length = traits().config_length;
    if (offset >= length)
        return;
    const auto part = out.first(std::min<std::size_t>(out.size(), length - offset));
    if (endian_ == DeviceEndian::Little)
        return device_.read_config(offset, part);
    const auto all = driver_order_config(device_);
    std::copy_n(all.begin() + offset, part.size(), part.begin());
}

void Core::write_config(std::uint32_t offset, std::span<const std::byte> data) {
    const std::uint32_t length = traits().config_length;
    if (offset > length || data.size() > length - offset)
        return;
    if (endian_ == DeviceEndian::Little)
        return device_.write_config(offset, data);
    // A write may begin and end inside fields: the whole is turned around.
    auto all = driver_order_config(device_);
    std::copy(data.begin(), data.end(), all.begin() + offset);
    swap_config(traits().config_fields, all);
    device_.write_config(0, all);
}

std::uint8_t Core::take_isr() {
    return std::exchange(isr_, std::uint8_t{0});
}

void Core::queue_used(std::uint16_t index) {
    if (index >= live_queues_.size() || !live_queues_[index].has_value())
        return;
    const auto wanted = live_queues_[index]->interrupt_wanted();
    if (!wanted.ok()) {
        device_broken(wanted.error());
    } else if (wanted.value()) {
        isr_ |= kIsrQueue;
        transport_->notify_queue(index);
    }
}

void Core::config_changed() {
    ++config_generation_;
    if ((status_ & DRIVER_OK) == 0)
        return;
    isr_ |= kIsrConfig;
    transport_->notify_config();
}

// The doorbells stay attached, since this may run inside one's callback; they are ignored from here on.
void Core::device_broken(const Error& what) {
    guest_errors_.warning("{}: {}; the device needs a reset", name(), what.text);
    running_ = false;
    if (broken_)
        return;
    broken_ = true;
    status_ |= DEVICE_NEEDS_RESET;
    if ((status_ & DRIVER_OK) != 0) {
        isr_ |= kIsrConfig;
        transport_->notify_config();
    }
}

void Core::drained() {
    if (reset_pending_)
        reset_pending_ = !reset_device();
}

// ---- start and stop

bool Core::may_start() const {
    return (status_ & DRIVER_OK) != 0 && !broken_ && !disabled_ && !paused_;
}

Result<SplitQueue> Core::make_queue(const QueueSetup& setup, std::uint64_t features, DeviceEndian endian,
                                    std::uint16_t last_avail) const {
    return SplitQueue::create(memory_,
                              {.size = setup.size,
                               .addresses = setup.addresses,
                               .event_idx = has_feature(features, VIRTIO_F_EVENT_IDX),
                               .indirect = has_feature(features, VIRTIO_F_INDIRECT_DESC),
                               .endian = endian},
                              last_avail);
}

Status Core::make_live_queues() {
    for (std::uint16_t i = 0; i < queues_.size(); ++i) {
        live_queues_[i].reset();
        activation_[i] = nullptr;
        if (queues_[i].enabled)
            activation_[i] = &live_queues_[i].emplace(
                TRY_IN(make_queue(queues_[i], driver_features_, endian_, last_avail_[i]),
                       fmt::format("queue {}", i)));
    }
    return {};
}

Status Core::start_device() {
    // After a stop() that failed the device still has its queues.
    if (!started_)
        TRY(make_live_queues());
    TRY(transport_->start_doorbells());
    started_ = true;
    running_ = true;
    return device_.start(
        {.features = driver_features_, .endian = endian_, .queues = activation_, .host = this});
}

void Core::restart_device() {
    if (auto status = start_device(); !status.ok())
        device_broken(status.error());
}

Status Core::stop_device() {
    running_ = false;
    if (!started_)
        return {};
    transport_->stop_doorbells();
    TRY(device_.stop());
    started_ = false;
    for (std::uint16_t i = 0; i < live_queues_.size(); ++i) {
        if (!live_queues_[i].has_value())
            continue;
        last_avail_[i] = live_queues_[i]->last_avail_index();
        live_queues_[i].reset();
    }
    return {};
}

// A driver that spoiled its ring shall have a broken device, not a state that no destination would take.
void Core::check_rings() {
    for (std::uint16_t i = 0; i < live_queues_.size() && running_; ++i)
        if (live_queues_[i].has_value())
            if (auto sound = live_queues_[i]->check_indices(); !sound.ok())
                device_broken(std::move(sound).error().in(fmt::format("queue {}", i)));
}

Status Core::pause() {
    paused_ = true;
    check_rings();
    TRY_IN(stop_device(), name());
    drained();
    return {};
}

Status Core::resume() {
    paused_ = false;
    if (!may_start() || running_)
        return {};
    if (auto status = start_device(); !status.ok()) {
        device_broken(status.error());
        if (status.error().code != ErrorCode::Guest)
            return std::move(status).error().in(name());
    }
    return {};
}

void Core::set_disabled(bool disabled) {
    if (disabled_ == disabled)
        return;
    disabled_ = disabled;
    if (!disabled) {
        if (may_start() && !running_)
            restart_device();
    } else if (auto stopped = stop_device(); !stopped.ok()) {
        device_broken(stopped.error());
    }
}

bool Core::reset_device() {
    if (auto stopped = stop_device(); !stopped.ok()) {
        device_broken(stopped.error());
        return false;
    }
    device_.reset();
    status_ = 0;
    isr_ = 0;
    driver_features_ = 0;
    queue_select_ = 0;
    endian_ = DeviceEndian::Little;
    broken_ = false;
    for (std::uint16_t i = 0; i < queues_.size(); ++i)
        forget_queue(i);
    transport_->device_reset();
    return true;
}

void Core::machine_reset() {
    if (reset_device())
        disabled_ = false;
}

} // namespace godwit::virtio
