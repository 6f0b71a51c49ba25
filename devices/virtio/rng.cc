// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/rng.h"

#include "devices/virtio/spec.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace godwit::virtio {

namespace {

constexpr std::uint32_t kPciOther = 0x00ff00; // PCI class code: does not fit any other, as QEMU's device
constexpr std::chrono::milliseconds kRetry{20};

} // namespace

Rng::Rng(std::string id, std::unique_ptr<EntropySource> source, Loop& loop)
    : source_(std::move(source)), retry_(loop.timer([this] { turn(); })) {
    traits_.device_id = kDeviceEntropy;
    traits_.record = "virtio-rng";
    traits_.queue_sizes = {kQueueSize};
    traits_.id = std::move(id);
    traits_.pci_class = kPciOther;
}

Status Rng::start(const Activation& activation) {
    host_ = activation.host;
    queue_ = activation.queues[0];
    turn();
    return {};
}

Status Rng::stop() {
    retry_->disarm();
    queue_ = nullptr;
    host_ = nullptr;
    dry_ = false;
    return {};
}

void Rng::queue_notified(std::uint16_t) {
    if (!dry_)
        turn();
}

void Rng::turn() {
    if (queue_ == nullptr)
        return;
    used_.clear();
    const auto served = serve();
    Status pushed;
    if (!used_.empty()) {
        pushed = queue_->push(used_);
        if (pushed.ok())
            host_->queue_used(0);
    }
    if (!served.ok() || !pushed.ok()) {
        queue_ = nullptr;
        return host_->device_broken(served.ok() ? pushed.error() : served.error());
    }
    dry_ = !*served;
    if (dry_)
        retry_->arm(kRetry);
}

// Takes at most as many chains as the ring has entries: they are published when the turn ends, and a head in
// flight is not taken twice.
Result<bool> Rng::serve() {
    TRY(queue_->disable_notification());
    for (;;) {
        if (!TRY(queue_->pop(chain_))) {
            if (!TRY(queue_->enable_notification()))
                return true;
            TRY(queue_->disable_notification());
            continue;
        }
        // Section 5.4.6: the driver places device-writable buffers and no others.
        if (chain_.readable_bytes != 0 || chain_.writable_bytes == 0)
            return error(ErrorCode::Guest, "entropy request with {} bytes to read and {} to write",
                         chain_.readable_bytes, chain_.writable_bytes);
        const std::uint32_t count = TRY(fill());
        if (count == 0) {
            queue_->unpop(chain_);
            return false;
        }
        used_.push_back({chain_.head, count});
    }
}

Result<std::uint32_t> Rng::fill() {
    std::size_t done = 0;
    for (const GuestWriteSlice& part : chain_.writable) {
        const std::size_t wanted = std::min(part.size(), kBytesPerRequest - done);
        if (wanted == 0)
            break;
        const ssize_t count = source_->read({part.for_kernel(), wanted});
        part.wrote(count > 0 ? static_cast<std::size_t>(count) : wanted);
        if (count < 0) {
            if (count != -EAGAIN && count != -EINTR)
                errors_.warning("{}: {}: {}", traits_.id, source_->name(),
                                std::strerror(static_cast<int>(-count)));
            break;
        }
        done += static_cast<std::size_t>(count);
        if (static_cast<std::size_t>(count) < wanted)
            break;
    }
    return static_cast<std::uint32_t>(done);
}

} // namespace godwit::virtio
