// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net.h"

#include "devices/virtio/net_mac.h"

#include <algorithm>
#include <cstring>
#include <sys/epoll.h>

namespace godwit::virtio {

namespace {

constexpr std::uint32_t kPciClassEthernet = 0x020000;

constexpr std::uint64_t kOffered =
    feature(VIRTIO_NET_F_CSUM) | feature(VIRTIO_NET_F_GUEST_CSUM) |
    feature(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | feature(VIRTIO_NET_F_MAC) | feature(VIRTIO_NET_F_GUEST_TSO4) |
    feature(VIRTIO_NET_F_GUEST_TSO6) | feature(VIRTIO_NET_F_GUEST_ECN) | feature(VIRTIO_NET_F_HOST_TSO4) |
    feature(VIRTIO_NET_F_HOST_TSO6) | feature(VIRTIO_NET_F_HOST_ECN) | feature(VIRTIO_NET_F_MRG_RXBUF) |
    feature(VIRTIO_NET_F_STATUS) | feature(VIRTIO_NET_F_CTRL_VQ) | feature(VIRTIO_NET_F_CTRL_RX) |
    feature(VIRTIO_NET_F_CTRL_VLAN) | feature(VIRTIO_NET_F_CTRL_RX_EXTRA) |
    feature(VIRTIO_NET_F_GUEST_ANNOUNCE) | feature(VIRTIO_NET_F_CTRL_MAC_ADDR);
constexpr std::uint64_t kOfferedWithUfo = feature(VIRTIO_NET_F_GUEST_UFO) | feature(VIRTIO_NET_F_HOST_UFO);

} // namespace

Result<std::unique_ptr<Net>> Net::create(NetOptions options, std::unique_ptr<FrameBackend> backend,
                                         Loop& loop) {
    if (options.mtu.has_value() && *options.mtu < kMtuMinimum)
        return invalid_input("{}: mtu={} is not between {} and {}", options.id, *options.mtu, kMtuMinimum,
                             kMtuMaximum);
    return std::unique_ptr<Net>{new Net{std::move(options), std::move(backend), loop}};
}

Net::Net(NetOptions options, std::unique_ptr<FrameBackend> backend, Loop& loop)
    : options_(std::move(options)), own_mac_(options_.mac.value_or(default_mac(options_.identity))),
      backend_(std::move(backend)), loop_(loop), state_(initial_net_state(own_mac_, has_ufo())),
      receiver_(*backend_), transmitter_(*backend_, options_.id), announcer_(loop, [this] { announce(); }) {
    traits_.device_id = kDeviceNet;
    traits_.record = "virtio-net";
    traits_.state_version = Schema<NetState>::version;
    traits_.features_off = options_.features_off;
    traits_.features = (kOffered | (has_ufo() ? kOfferedWithUfo : 0) |
                        (options_.mtu.has_value() ? feature(VIRTIO_NET_F_MTU) : 0)) &
                       ~options_.features_off;
    traits_.queue_sizes = {256, 256, 64};
    traits_.config_length = options_.mtu.has_value() ? kNetConfigLengthMtu : kNetConfigLengthStatus;
    traits_.config_fields = kNetConfigFields;
    traits_.id = options_.id;
    traits_.pci_class = kPciClassEthernet;
}

Net::~Net() = default;

bool Net::has_ufo() const {
    return backend_->has_ufo() && (kOfferedWithUfo & ~options_.features_off) != 0;
}

void Net::read_config(std::uint32_t offset, std::span<std::byte> out) {
    const virtio_net_config config{state_.mac, state_.status, 1, options_.mtu.value_or(0)};
    const auto bytes = std::as_bytes(std::span{&config, 1}).subspan(offset, out.size());
    std::copy(bytes.begin(), bytes.end(), out.begin());
}

void Net::features_negotiated(std::uint64_t features) {
    features_ = features;
    state_.mergeable_rx_bufs = has_feature(features, VIRTIO_NET_F_MRG_RXBUF) ? 1 : 0;
    state_.curr_guest_offloads = offloads_of(features);
    reset_vlan_filter(state_, features);
}

// ---- start and stop

Status Net::start(const Activation& activation) {
    host_ = activation.host;
    features_ = activation.features;
    endian_ = activation.endian;
    TRY(backend_->set_header_size(net_header_size(features_)));
    TRY(backend_->set_guest_offloads(state_.curr_guest_offloads));
    if (std::exchange(discard_waiting_, false))
        receiver_.discard_waiting();
    if (SplitQueue* const queue = activation.queues[kNetReceiveQueue])
        receiver_.start(*queue, features_, endian_);
    if (SplitQueue* const queue = activation.queues[kNetTransmitQueue])
        transmitter_.start(*queue, features_, endian_);
    control_queue_ = activation.queues[kNetControlQueue];
    readable_ = TRY(loop_.watch(backend_->fd(), EPOLLIN, [this](std::uint32_t) { receive(); }));
    run_ = std::make_shared<Run>();

    control();
    receive();
    transmit();
    if (run_ == nullptr)
        return {}; // broken, and the host knows
    if (std::exchange(announce_due_, false))
        announcer_.begin();
    else
        announcer_.resume();
    return {};
}

// Nothing moves any more; the queues stay as they are.
void Net::halt() {
    run_.reset();
    readable_.reset();
    writable_.reset();
    announcer_.suspend();
}

Status Net::stop() {
    halt();
    receiver_.stop();
    transmitter_.stop();
    control_queue_ = nullptr;
    host_ = nullptr;
    return {};
}

void Net::adopt_mac(const MacAddress& mac) {
    if (!adopts_mac())
        return;
    own_mac_ = state_.mac = mac;
    mac_adopted_ = true;
}

void Net::reset() {
    const auto link = static_cast<std::uint16_t>(state_.status & VIRTIO_NET_S_LINK_UP);
    state_ = initial_net_state(own_mac_, has_ufo());
    state_.status = link;
    features_ = 0;
    announce_due_ = false;
    announcer_.cancel();
}

void Net::broken(const Error& what) {
    DeviceHost* const host = host_;
    halt();
    host->device_broken(what);
}

// ---- turns at the queues

void Net::queue_notified(std::uint16_t queue) {
    if (queue == kNetReceiveQueue)
        receive();
    else if (queue == kNetTransmitQueue)
        transmit();
    else if (queue == kNetControlQueue)
        control();
}

void Net::receive() {
    if (run_ != nullptr && receiver_.started())
        after(receiver_.turn(state_, *host_), &Net::receive, &Run::receive_posted);
}

void Net::transmit() {
    if (run_ != nullptr && transmitter_.started())
        after(transmitter_.turn(state_, *host_), &Net::transmit, &Run::transmit_posted);
}

void Net::control() {
    if (run_ != nullptr && control_queue_ != nullptr)
        after(control_turn(), &Net::control, &Run::control_posted);
}

void Net::after(Result<Turn> turn, void (Net::*again)(), bool Run::*posted) {
    if (!turn.ok())
        return broken(turn.error());
    if (run_ == nullptr)
        return;
    if (*turn == Turn::Blocked)
        turn = watch_writable().ok() ? Turn::Idle : Turn::Again;
    if (*turn == Turn::Idle || std::exchange(run_.get()->*posted, true))
        return;
    loop_.post([this, again, posted, run = std::weak_ptr{run_}] {
        if (const auto alive = run.lock()) {
            alive.get()->*posted = false;
            (this->*again)();
        }
    });
}

Status Net::watch_writable() {
    if (writable_ == nullptr)
        writable_ = TRY(loop_.watch(backend_->fd(), EPOLLOUT, [this](std::uint32_t) { transmit(); }));
    return {};
}

// ---- link and announcement

void Net::set_link(bool up) {
    if (((state_.status & VIRTIO_NET_S_LINK_UP) != 0) == up)
        return;
    state_.status ^= VIRTIO_NET_S_LINK_UP;
    if (run_ == nullptr)
        return;
    host_->config_changed();
    transmit();
    receive();
}

void Net::arrived() {
    if (run_ != nullptr)
        announcer_.begin();
    else
        announce_due_ = true;
}

void Net::announce() {
    if (run_ == nullptr || (state_.status & VIRTIO_NET_S_LINK_UP) == 0)
        return;
    virtio_net_hdr header{};
    auto frame = rarp_frame(state_.mac);
    const iovec parts[] = {{&header, net_header_size(features_)}, {frame.data(), frame.size()}};
    if (const auto count = backend_->write(parts); count < 0)
        errors_.warning("{}: announcement not sent: {}: {}", options_.id, backend_->name(),
                        std::strerror(static_cast<int>(-count)));
    // Section 5.1.6.5.4: the driver knows addresses that we do not.
    constexpr std::uint64_t kNeeded =
        feature(VIRTIO_NET_F_GUEST_ANNOUNCE) | feature(VIRTIO_NET_F_CTRL_VQ) | feature(VIRTIO_NET_F_STATUS);
    if ((features_ & kNeeded) == kNeeded) {
        state_.status |= VIRTIO_NET_S_ANNOUNCE;
        host_->config_changed();
    }
}

} // namespace godwit::virtio
