// SPDX-License-Identifier: Apache-2.0
#include "transports/ccw/css.h"

#include <algorithm>

namespace godwit::ccw {

ChannelSubsystem::ChannelSubsystem(Loop& loop, Bus& mmio, GuestMemory& memory, const CssConfig& config)
    : loop_(loop), mmio_(mmio), memory_(memory), config_(config), window_(loop, *this),
      turn_posted_(std::make_shared<bool>(false)), section_(*this) {}

Result<std::unique_ptr<ChannelSubsystem>> ChannelSubsystem::create(Loop& loop, Bus& mmio, GuestMemory& memory,
                                                                   InterruptController& interrupts,
                                                                   const CssConfig& config) {
    std::unique_ptr<ChannelSubsystem> css{new ChannelSubsystem{loop, mmio, memory, config}};
    css->io_line_ = TRY_IN(interrupts.line(config.io_gsi), "I/O interruptions");
    css->adapter_line_ = TRY_IN(interrupts.line(config.adapter_gsi), "adapter interruptions");
    TRY(mmio.map(config.window, kWindowSize, css->window_));
    css->mapped_ = true;
    return css;
}

ChannelSubsystem::~ChannelSubsystem() {
    if (mapped_)
        mmio_.unmap(config_.window);
}

Status ChannelSubsystem::insert(Subchannel& subchannel) {
    if (subchannels_.size() == kMaxSubchannels)
        return invalid_input("{}: all {} subchannels are taken", subchannel.device().name(), kMaxSubchannels);
    for (const Subchannel* const other : subchannels_)
        if (other->devno() == subchannel.devno())
            return invalid_input("{}: device number 0.0.{:04x} is taken by {}", subchannel.device().name(),
                                 subchannel.devno(), other->device().name());
    subchannel.set_number(static_cast<std::uint16_t>(subchannels_.size()));
    subchannels_.push_back(&subchannel);
    return {};
}

void ChannelSubsystem::remove(const Subchannel& subchannel) {
    std::erase(subchannels_, &subchannel);
    std::erase(waiting_, &subchannel);
}

Subchannel* ChannelSubsystem::find(std::uint32_t id) const {
    for (Subchannel* const subchannel : subchannels_)
        if (subchannel_id(subchannel->number()) == id)
            return subchannel;
    return nullptr;
}

void ChannelSubsystem::reset() {
    isc_mask_ = 0;
    adapter_pending_ = 0;
    waiting_.clear();
    for (Subchannel* const subchannel : subchannels_)
        subchannel->reset();
}

// ---- the window

void ChannelSubsystem::read(std::uint64_t offset, std::span<std::byte> data) {
    std::fill(data.begin(), data.end(), std::byte{0});
    const auto value = [&]() -> std::uint32_t {
        switch (offset) {
        case kRegId:
            return kWindowId;
        case kRegVersion:
            return kWindowVersion;
        case kRegDoorbells:
            return kDoorbellArea;
        case kRegIscMask:
            return isc_mask_;
        case kRegIoPending:
            return pending_subclasses();
        case kRegAdapterPending:
            return adapter_pending_;
        default:
            return 0;
        }
    };
    if (data.size() == sizeof(std::uint32_t))
        store_le(data, value());
}

void ChannelSubsystem::write(std::uint64_t offset, std::span<const std::byte> data) {
    if (offset >= kDoorbellArea) {
        const std::uint64_t place = (offset - kDoorbellArea) / kDoorbellStride;
        ring(subchannel_id(static_cast<std::uint16_t>(place / kDoorbellsPerSubchannel)),
             place % kDoorbellsPerSubchannel);
    } else if (data.size() == sizeof(std::uint64_t)) {
        const auto value = load_le<std::uint64_t>(data);
        if (offset == kRegOperation)
            operation(Gpa{value});
        else if (offset == kRegNotify)
            ring(static_cast<std::uint32_t>(value >> 32), static_cast<std::uint32_t>(value));
    } else if (data.size() == sizeof(std::uint32_t) && offset == kRegIscMask) {
        set_isc_mask(static_cast<std::uint8_t>(data[0]));
    }
}

bool ChannelSubsystem::ring(std::uint32_t id, std::uint64_t queue) {
    Subchannel* const subchannel = find(id);
    if (subchannel == nullptr || queue >= subchannel->device().queue_count())
        return false;
    subchannel->device().ring(static_cast<std::uint16_t>(queue));
    return true;
}

// ---- interruptions

std::uint8_t ChannelSubsystem::pending_subclasses() const {
    std::uint8_t pending = 0;
    for (const Subchannel* const subchannel : subchannels_)
        if (subchannel->interruption_pending())
            pending |= isc_bit(subchannel->isc());
    return pending;
}

void ChannelSubsystem::set_isc_mask(std::uint8_t mask) {
    const auto opened = static_cast<std::uint8_t>(mask & ~isc_mask_);
    isc_mask_ = mask;
    if ((pending_subclasses() & opened) != 0)
        io_line_->pulse();
    if ((adapter_pending_ & opened) != 0) {
        adapter_pending_ &= static_cast<std::uint8_t>(~opened);
        adapter_line_->pulse();
    }
}

void ChannelSubsystem::interruption(Subchannel& subchannel) {
    if (open(subchannel.isc()))
        io_line_->pulse();
}

void ChannelSubsystem::adapter_interruption(std::uint8_t isc) {
    if (open(isc))
        adapter_line_->pulse();
    else
        adapter_pending_ |= isc_bit(isc);
}

// ---- long programs

void ChannelSubsystem::run_later(Subchannel& subchannel) {
    if (std::ranges::find(waiting_, &subchannel) == waiting_.end())
        waiting_.push_back(&subchannel);
    if (std::exchange(*turn_posted_, true))
        return;
    loop_.post([this, alive = std::weak_ptr{turn_posted_}] {
        if (const auto posted = alive.lock()) {
            *posted = false;
            run_waiting();
        }
    });
}

// Who is not at its end asks for another turn meanwhile.
void ChannelSubsystem::run_waiting() {
    for (Subchannel* const subchannel : std::exchange(waiting_, {}))
        subchannel->run();
}

void ChannelSubsystem::resume() {
    paused_ = false;
    waiting_.clear();
    for (Subchannel* const subchannel : subchannels_)
        run_later(*subchannel);
}

} // namespace godwit::ccw
