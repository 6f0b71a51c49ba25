// SPDX-License-Identifier: Apache-2.0
#include "devices/doorbells.h"

#include <algorithm>
#include <sys/epoll.h>

namespace godwit {

Result<std::unique_ptr<Doorbells>> Doorbells::create(std::string name, Loop& loop, DoorbellRegistry& registry,
                                                     std::uint16_t queues, Rung rung) {
    std::unique_ptr<Doorbells> doorbells{new Doorbells{std::move(name), registry, std::move(rung)}};
    doorbells->bells_.reserve(queues);
    for (std::uint16_t i = 0; i < queues; ++i) {
        EventFd event = TRY(EventFd::create());
        auto watch = TRY(loop.watch(event.fd(), EPOLLIN, [self = doorbells.get(), i](std::uint32_t) {
            if (self->bells_[i].event.consume() && self->active_)
                self->rung_(i);
        }));
        doorbells->bells_.push_back({std::move(event), std::move(watch), {}});
    }
    return doorbells;
}

void Doorbells::start(Places places) {
    active_ = true;
    places_.clear();
    move(std::move(places));
}

void Doorbells::move(Places places) {
    if (!active_ || places == places_)
        return;
    detach();
    places_ = std::move(places);
    attach();
}

void Doorbells::stop() {
    active_ = false;
    detach();
    places_.clear();
    for (const Bell& bell : bells_)
        (void)bell.event.consume();
}

void Doorbells::attach() {
    for (std::size_t i = 0; i < std::min(bells_.size(), places_.size()); ++i)
        for (const DoorbellPlace& place : places_[i]) {
            auto attached = registry_.add_mmio(place.address, place.width, place.match, bells_[i].event);
            if (attached.ok())
                bells_[i].attached.push_back(std::move(attached).value());
            else
                errors_.warning("{}: doorbell {} is slow: {}", name_, i, attached.error().text);
        }
}

void Doorbells::detach() {
    for (Bell& bell : bells_)
        bell.attached.clear();
}

} // namespace godwit
