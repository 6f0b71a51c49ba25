// SPDX-License-Identifier: Apache-2.0
#include "transports/pci/doorbells.h"

#include <sys/epoll.h>

namespace godwit::pci {

Result<std::unique_ptr<Doorbells>> Doorbells::create(std::string name, Loop& loop, DoorbellRegistry& registry,
                                                     std::uint16_t queues, std::uint32_t stride, Rung rung) {
    std::unique_ptr<Doorbells> doorbells{new Doorbells{std::move(name), registry, stride, std::move(rung)}};
    doorbells->bells_.reserve(queues);
    for (std::uint16_t i = 0; i < queues; ++i) {
        EventFd event = TRY(EventFd::create());
        auto watch = TRY(loop.watch(event.fd(), EPOLLIN, [self = doorbells.get(), i](std::uint32_t) {
            if (self->bells_[i].event.consume() && self->active_)
                self->rung_(i);
        }));
        doorbells->bells_.push_back({std::move(event), std::move(watch), nullptr});
    }
    return doorbells;
}

void Doorbells::start(std::optional<Gpa> base) {
    active_ = true;
    base_.reset();
    move(base);
}

void Doorbells::move(std::optional<Gpa> base) {
    if (!active_ || base == base_)
        return;
    detach();
    base_ = base;
    attach();
}

void Doorbells::stop() {
    active_ = false;
    detach();
    base_.reset();
    for (const Bell& bell : bells_)
        (void)bell.event.consume();
}

void Doorbells::attach() {
    if (!base_.has_value())
        return;
    for (std::size_t i = 0; i < bells_.size(); ++i) {
        // Any width: drivers write 16 bits, or 32 with VIRTIO_F_NOTIFICATION_DATA.
        auto attached = registry_.add_mmio(Gpa{base_->value + i * stride_}, 0, std::nullopt, bells_[i].event);
        if (attached.ok())
            bells_[i].attached = std::move(attached).value();
        else
            errors_.warning("{}: doorbell {} is slow: {}", name_, i, attached.error().text);
    }
}

void Doorbells::detach() {
    for (Bell& bell : bells_)
        bell.attached.reset();
}

} // namespace godwit::pci
