// SPDX-License-Identifier: Apache-2.0
#include "transports/ccw/virtio_ccw.h"

#include "transports/ccw/indicators.h"

namespace godwit::ccw {

namespace {

SenseId identity_of(const virtio::DeviceTraits& traits) {
    SenseId id;
    id.cu_type = kVirtioControlUnit;
    id.cu_model = static_cast<std::uint8_t>(traits.device_id);
    return id;
}

} // namespace

VirtioCcw::VirtioCcw(ChannelSubsystem& css, virtio::Core& core, std::uint16_t devno)
    : css_(css), core_(core), memory_(css.memory()), vectors_(core.queue_count(), kNoVector),
      subchannel_(css.memory(), css.host(), *this, identity_of(core.traits()), devno) {}

Result<std::unique_ptr<VirtioCcw>> VirtioCcw::create(ChannelSubsystem& css, virtio::Core& core,
                                                     DoorbellRegistry& doorbells, std::uint16_t devno) {
    if (core.queue_count() > kDoorbellsPerSubchannel)
        return invalid_input("{}: {} queues, {} have indicators", core.traits().id, core.queue_count(),
                             kDoorbellsPerSubchannel);
    std::unique_ptr<VirtioCcw> transport{new VirtioCcw{css, core, devno}};
    transport->doorbells_ =
        TRY_IN(Doorbells::create(core.traits().id, css.loop(), doorbells, core.queue_count(),
                                 [&core](std::uint16_t queue) { core.queue_notified(queue); }),
               core.traits().id);
    TRY(css.insert(transport->subchannel_));
    transport->inserted_ = true;
    core.attach(*transport);
    return transport;
}

VirtioCcw::~VirtioCcw() {
    if (inserted_)
        css_.remove(subchannel_);
}

// As QEMU names the devices of its virtual channel subsystem.
std::string VirtioCcw::path() const {
    return fmt::format("{:02x}.0.{:04x}", kVirtualCss, subchannel_.devno());
}

// ---- resets

void VirtioCcw::device_reset() {
    state_.indicators = {};
    state_.indicators2 = {};
    state_.summary_indicator = {};
    state_.config_vector = kNoVector;
    state_.routes = {};
    state_.thinint_isc = 0;
    subchannel_.set_thinint_active(false);
    vectors_.assign(vectors_.size(), kNoVector);
}

void VirtioCcw::reset() {
    device_reset();
    state_.revision = kRevisionUnset;
    subchannel_.reset();
}

// ---- interruptions

void VirtioCcw::notify_queue(std::uint16_t queue) {
    if (state_.indicators.len == 0 || queue >= vectors_.size())
        return;
    if (!subchannel_.thinint_active()) {
        set_classic(memory_, state_.indicators, queue);
        return subchannel_.alert();
    }
    set_from_left(memory_, state_.indicators, state_.routes.adapter.ind_offset + queue);
    if (set_summary(memory_, state_.summary_indicator))
        css_.adapter_interruption(state_.thinint_isc);
}

void VirtioCcw::notify_config() {
    if (state_.indicators2.len == 0)
        return;
    set_classic(memory_, state_.indicators2, 0);
    subchannel_.alert();
}

bool VirtioCcw::wants_attention() const {
    return any_set(memory_, state_.indicators2) ||
           (!subchannel_.thinint_active() && any_set(memory_, state_.indicators));
}

std::optional<std::uint8_t> VirtioCcw::adapter_attention() const {
    if (!subchannel_.thinint_active() || !summary_set(memory_, state_.summary_indicator))
        return std::nullopt;
    return state_.thinint_isc;
}

// ---- doorbells

Status VirtioCcw::start_doorbells() {
    Doorbells::Places places;
    for (std::uint16_t queue = 0; queue < core_.queue_count(); ++queue)
        places.push_back({{.address = css_.notify_register(),
                           .width = sizeof(std::uint64_t),
                           .match = std::uint64_t{subchannel_id(subchannel_.number())} << 32 | queue},
                          {.address = css_.doorbell(subchannel_.number(), queue)}});
    doorbells_->start(std::move(places));
    return {};
}

void VirtioCcw::stop_doorbells() {
    doorbells_->stop();
}

} // namespace godwit::ccw
