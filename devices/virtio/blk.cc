// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/blk.h"

#include "devices/virtio/spec.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <utility>

namespace godwit::virtio {

namespace {

constexpr std::uint32_t kPciMassStorage = 0x010000; // PCI class code: mass storage, SCSI, as QEMU's device

constexpr std::uint64_t kFeatures = feature(VIRTIO_BLK_F_SEG_MAX) | feature(VIRTIO_BLK_F_GEOMETRY) |
                                    feature(VIRTIO_BLK_F_BLK_SIZE) | feature(VIRTIO_BLK_F_FLUSH) |
                                    feature(VIRTIO_BLK_F_TOPOLOGY) | feature(VIRTIO_BLK_F_CONFIG_WCE) |
                                    feature(VIRTIO_BLK_F_WRITE_ZEROES);

} // namespace

Result<std::unique_ptr<Blk>> Blk::create(Loop& loop, BlkImage image, const BlkOptions& options) {
    if (options.num_queues == 0 || options.num_queues > VIRTIO_QUEUE_MAX)
        return invalid_input("{} queues", options.num_queues);
    if (!std::has_single_bit(options.queue_size) || options.queue_size < 4 ||
        options.queue_size > kQueueSizeLimit)
        return invalid_input("queue size {} is not a power of two from 4 to {}", options.queue_size,
                             kQueueSizeLimit);
    if (options.serial.size() > kBlkIdLength)
        return invalid_input("serial '{}' is longer than {} bytes", options.serial, kBlkIdLength);
    auto file = TRY_IN(loop.register_file(image.fd()), fmt::format("disk '{}'", image.path()));
    std::unique_ptr<Blk> device{new Blk{loop, std::move(image), options}};
    device->backend_.file = std::move(file);
    if (device->image_.block_device() && device->image_.discard_limits().possible) {
        device->discarder_ = TRY(DeviceDiscarder::create(loop, device->image_.fd()));
        device->backend_.discarder = device->discarder_.get();
    }
    return device;
}

Blk::Blk(Loop& loop, BlkImage image, const BlkOptions& options)
    : loop_(loop),
      image_(std::move(image)), backend_{.loop = loop,
                                         .file = {},
                                         .storage = image_.storage().get(),
                                         .zeroing_unmaps = image_.discard_limits().zeroing_unmaps,
                                         .sectors = image_.sectors(),
                                         .readonly = image_.readonly(),
                                         .serial = options.serial},
      drain_limit_(options.drain_limit), publication_(loop.timer([this] { publish(); })),
      write_errors_(options.write_errors), read_errors_(options.read_errors), failed_(options.failed) {
    traits_.device_id = kDeviceBlock;
    traits_.record = "virtio-blk";
    traits_.state_version = 2;
    traits_.features_off = options.features_off;
    traits_.features = (kFeatures | (image_.readonly() ? feature(VIRTIO_BLK_F_RO) : 0) |
                        (image_.discard_limits().possible ? feature(VIRTIO_BLK_F_DISCARD) : 0) |
                        (options.num_queues > 1 ? feature(VIRTIO_BLK_F_MQ) : 0)) &
                       ~options.features_off;
    traits_.queue_sizes.assign(options.num_queues, options.queue_size);
    traits_.config_length = sizeof(virtio_blk_config);
    traits_.config_fields = kBlkConfigFields;
    traits_.id = options.id;
    traits_.pci_class = kPciMassStorage;
    queues_.resize(options.num_queues);
}

Blk::~Blk() {
    if (in_flight_.empty() || loop_.drain(in_flight_, drain_limit_).ok())
        return;
    // The kernel still has these; they must outlive it.
    log::error("{}: {} requests did not end", traits_.id, in_flight_.inside());
    for (auto& request : requests_)
        (void)request.release();
    (void)discarder_.release();
}

// ---- configuration space

virtio_blk_config Blk::config() const {
    constexpr std::uint64_t kHeads = 16, kTrackSectors = 63, kMaxCylinders = 16383; // the customary geometry
    virtio_blk_config config{};
    config.capacity = backend_.sectors;
    config.seg_max = traits_.queue_sizes[0] - 2u; // header and status take a descriptor each
    config.geometry.cylinders = static_cast<std::uint16_t>(
        std::clamp<std::uint64_t>(backend_.sectors / (kHeads * kTrackSectors), 2, kMaxCylinders));
    config.geometry.heads = kHeads;
    config.geometry.sectors = kTrackSectors;
    config.blk_size = kSectorSize;
    config.writeback = backend_.writeback ? 1 : 0;
    config.num_queues = static_cast<std::uint16_t>(queues_.size());
    if (has_feature(traits_.features, VIRTIO_BLK_F_DISCARD)) {
        config.max_discard_sectors = image_.discard_limits().max_sectors;
        config.max_discard_seg = 1;
        config.discard_sector_alignment = image_.discard_limits().alignment;
    }
    if (has_feature(traits_.features, VIRTIO_BLK_F_WRITE_ZEROES)) {
        config.max_write_zeroes_sectors = kBlkMaxRangeSectors;
        config.max_write_zeroes_seg = 1;
        config.write_zeroes_may_unmap = image_.discard_limits().zeroing_unmaps ? 1 : 0;
    }
    return config;
}

void Blk::read_config(std::uint32_t offset, std::span<std::byte> out) {
    const virtio_blk_config current = config();
    const auto bytes = std::as_bytes(std::span{&current, 1}).subspan(offset, out.size());
    std::copy(bytes.begin(), bytes.end(), out.begin());
}

// The one field that a driver may write (section 5.2.5).
void Blk::write_config(std::uint32_t offset, std::span<const std::byte> data) {
    constexpr std::size_t kWriteback = offsetof(virtio_blk_config, writeback);
    if (!has_feature(backend_.features, VIRTIO_BLK_F_CONFIG_WCE) || kWriteback < offset ||
        kWriteback - offset >= data.size())
        return;
    backend_.writeback = data[kWriteback - offset] != std::byte{0};
}

void Blk::features_negotiated(std::uint64_t features) {
    backend_.features = features;
    // Without the configurable cache a driver that cannot flush gets none (section 5.2.6.2).
    if (!has_feature(features, VIRTIO_BLK_F_CONFIG_WCE))
        backend_.writeback = has_feature(features, VIRTIO_BLK_F_FLUSH);
}

// ---- life

Status Blk::start(const Activation& activation) {
    host_ = activation.host;
    backend_.features = activation.features;
    backend_.endian = activation.endian;
    for (std::uint16_t i = 0; i < queues_.size(); ++i) {
        Queue& queue = queues_[i];
        SplitQueue* const ring = activation.queues[i];
        // Requests that outlived a failed stop() keep their objects and their place in `done`.
        const bool goes_on = queue.ring == ring && ring != nullptr;
        queue.ring = ring;
        if (ring == nullptr || goes_on)
            continue;
        while (queue.free.size() < ring->size())
            queue.free.push_back(requests_.emplace_back(new BlkRequest{backend_, *this, i}).get());
        queue.done.reserve(ring->size());
    }
    accepting_ = true;
    stop_failed_ = false;
    try_stalled_again();
    for (std::uint16_t i = 0; i < queues_.size(); ++i)
        queue_notified(i);
    return {};
}

void Blk::queue_notified(std::uint16_t index) {
    Queue& queue = queues_[index];
    if (!accepting_ || queue.ring == nullptr)
        return;
    // A turn takes at most as many chains as the ring has entries: they are published when it ends, and a
    // head in flight is not taken twice.
    for (;;) {
        if (auto quiet = queue.ring->disable_notification(); !quiet.ok())
            return broken(quiet.error());
        if (!take_requests(queue))
            return;
        const auto more = queue.ring->enable_notification();
        if (!more.ok())
            return broken(more.error());
        if (!more.value())
            return;
    }
}

bool Blk::take_requests(Queue& queue) {
    while (!queue.free.empty()) {
        BlkRequest& request = *queue.free.back();
        const auto popped = queue.ring->pop(request.chain());
        if (!popped.ok() || (popped.value() && request.chain().writable_bytes == 0)) {
            broken(popped.ok() ? error(ErrorCode::Guest, "request without a status byte") : popped.error());
            return false;
        }
        if (!popped.value())
            break;
        queue.free.pop_back();
        in_flight_.enter();
        request.start();
    }
    return true;
}

void Blk::request_finished(BlkRequest& request) {
    Queue& queue = queues_[request.queue()];
    queue.done.push_back(request.used());
    queue.free.push_back(&request);
    if (!publication_armed_) {
        publication_armed_ = true;
        publication_->arm(std::chrono::nanoseconds{0});
    }
    ended();
}

void Blk::ended() {
    in_flight_.leave();
    if (stop_failed_ && in_flight_.empty())
        host_->drained(); // may stop() and publish
}

void Blk::request_stalled(BlkRequest& request) {
    Queue& queue = queues_[request.queue()];
    stalled_.push_back(stalled_request(request.queue(), *queue.ring, request.chain()));
    queue.free.push_back(&request);
    ended();
}

void Blk::try_stalled_again() {
    for (const StalledRequest& one : std::exchange(stalled_, {})) {
        Queue& queue = queues_[one.queue];
        if (queue.ring == nullptr) // the driver took the queue back
            continue;
        // As many as the ring has heads; a stream may bring more.
        if (queue.free.empty())
            return broken(error(ErrorCode::Guest, "more requests than the queue has heads"));
        BlkRequest& request = *queue.free.back();
        if (auto popped = queue.ring->pop_again(one.head, request.chain()); !popped.ok())
            return broken(popped.error());
        if (request.chain().writable_bytes == 0)
            return broken(error(ErrorCode::Guest, "request without a status byte"));
        queue.free.pop_back();
        in_flight_.enter();
        request.start();
    }
}

void Blk::publish() {
    publication_armed_ = false;
    for (std::uint16_t i = 0; i < queues_.size(); ++i) {
        Queue& queue = queues_[i];
        if (queue.done.empty())
            continue;
        const auto pushed = queue.ring->push(queue.done);
        queue.done.clear();
        if (!pushed.ok())
            return broken(pushed.error());
        host_->queue_used(i);
    }
}

void Blk::broken(const Error& what) {
    accepting_ = false;
    host_->device_broken(what);
}

ErrorAction Blk::request_failed(BlkError failure, bool may_stop) {
    failure.action = may_stop ? action_of(failure.write ? write_errors_ : read_errors_, failure.errno_value)
                              : ErrorAction::Report;
    host_errors_.warning("{}: {} ({})", traits_.id, failure.text, to_string(failure.action));
    const auto now = std::chrono::steady_clock::now();
    if (failed_ && (failure.action == ErrorAction::Stop || now >= next_report_)) {
        if (failure.action != ErrorAction::Stop)
            next_report_ = now + std::chrono::seconds{1};
        failed_(failure);
    }
    return failure.action;
}

Status Blk::stop() {
    accepting_ = false;
    stop_failed_ = false;
    if (auto drained = loop_.drain(in_flight_, drain_limit_); !drained.ok()) {
        stop_failed_ = true;
        return drained;
    }
    publication_->disarm();
    publish();
    for (Queue& queue : queues_)
        queue.ring = nullptr;
    return {};
}

void Blk::reset() {
    backend_.features = 0;
    backend_.writeback = true;
    stalled_.clear();
}

} // namespace godwit::virtio
