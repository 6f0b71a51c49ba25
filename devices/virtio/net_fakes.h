// SPDX-License-Identifier: Apache-2.0
//
// For tests of the network device: a backend over a socket pair, a host that takes notes, and a device
// between a fake driver and the two.
#pragma once

#include "devices/virtio/driver_fake.h"
#include "devices/virtio/net.h"

#include <cerrno>
#include <map>
#include <sys/socket.h>

namespace godwit::virtio {

using Bytes = std::vector<std::byte>;

// Everything outside the backend's half of the pair.
struct Wire {
    Fd peer;
    std::uint32_t header_size = 0;
    std::uint64_t offloads = ~std::uint64_t{0};
    bool refuse_offloads = false;
    bool full = false; // the backend takes no more

    void send(std::span<const std::byte> frame) {
        if (::send(peer.get(), frame.data(), frame.size(), 0) != static_cast<ssize_t>(frame.size()))
            throw std::runtime_error{"the wire is full"};
    }
    // The next frame that the device sent, with its header; empty when there is none.
    Bytes take() {
        Bytes frame(128 << 10);
        const auto count = ::recv(peer.get(), frame.data(), frame.size(), 0);
        frame.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
        return frame;
    }
};

class SocketBackend final : public FrameBackend {
  public:
    explicit SocketBackend(Wire& wire, bool ufo = true) : wire_(wire), ufo_(ufo) {
        int pair[2];
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
            throw std::runtime_error{"socketpair"};
        fd_ = Fd::adopt(pair[0]);
        wire_.peer = Fd::adopt(pair[1]);
    }
    std::string name() const override { return "socket"; }
    int fd() const override { return fd_.get(); }
    bool has_ufo() const override { return ufo_; }
    Status set_header_size(std::uint32_t bytes) override {
        wire_.header_size = bytes;
        return {};
    }
    Status set_guest_offloads(std::uint64_t offloads) override {
        if (wire_.refuse_offloads)
            return error(ErrorCode::System, "refused");
        wire_.offloads = offloads;
        return {};
    }
    std::int64_t read(std::span<const iovec> buffers) override {
        const auto count = ::readv(fd_.get(), buffers.data(), static_cast<int>(buffers.size()));
        return count < 0 ? -errno : count;
    }
    std::int64_t write(std::span<const iovec> buffers) override {
        if (wire_.full)
            return -EAGAIN;
        const auto count = ::writev(fd_.get(), buffers.data(), static_cast<int>(buffers.size()));
        return count < 0 ? -errno : count;
    }

  private:
    Wire& wire_;
    bool ufo_;
    Fd fd_;
};

class NotingHost final : public DeviceHost {
  public:
    void queue_used(std::uint16_t queue) override { ++used[queue]; }
    void config_changed() override { ++config_changes; }
    void device_broken(const Error& what) override { broken.push_back(what.text); }

    std::map<std::uint16_t, unsigned> used;
    unsigned config_changes = 0;
    std::vector<std::string> broken;
};

constexpr MacAddress kTestMac{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

// What a current driver takes.
constexpr std::uint64_t kUsualFeatures =
    feature(VIRTIO_F_VERSION_1) | feature(VIRTIO_NET_F_CSUM) | feature(VIRTIO_NET_F_GUEST_CSUM) |
    feature(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | feature(VIRTIO_NET_F_MAC) | feature(VIRTIO_NET_F_GUEST_TSO4) |
    feature(VIRTIO_NET_F_GUEST_TSO6) | feature(VIRTIO_NET_F_HOST_TSO4) | feature(VIRTIO_NET_F_HOST_TSO6) |
    feature(VIRTIO_NET_F_MRG_RXBUF) | feature(VIRTIO_NET_F_STATUS) | feature(VIRTIO_NET_F_CTRL_VQ) |
    feature(VIRTIO_NET_F_CTRL_RX) | feature(VIRTIO_NET_F_CTRL_VLAN) | feature(VIRTIO_NET_F_CTRL_RX_EXTRA) |
    feature(VIRTIO_NET_F_GUEST_ANNOUNCE) | feature(VIRTIO_NET_F_CTRL_MAC_ADDR);

struct NetRig {
    explicit NetRig(std::uint64_t negotiated = kUsualFeatures, NetOptions options = {.mac = kTestMac},
                    bool ufo = true)
        : features(negotiated) {
        net = must(Net::create(std::move(options), std::make_unique<SocketBackend>(wire, ufo), *loop));
    }
    ~NetRig() { must(net->stop()); }

    void negotiate() { net->features_negotiated(features); }
    void start() {
        for (std::size_t i = 0; i < 3; ++i)
            queues.at(i).emplace(must(SplitQueue::create(
                *memory, {.size = drivers.at(i).size(), .addresses = drivers.at(i).addresses()},
                last_avail.at(i))));
        const std::array<SplitQueue*, 3> pointers{&*queues[0], &*queues[1], &*queues[2]};
        must(net->start({.features = features, .queues = pointers, .host = &host}));
    }
    void stop() {
        must(net->stop());
        for (std::size_t i = 0; i < 3; ++i)
            last_avail.at(i) = queues.at(i)->last_avail_index();
    }
    FakeDriver& rx() { return drivers[0]; }
    FakeDriver& tx() { return drivers[1]; }
    FakeDriver& ctrl() { return drivers[2]; }

    // Turns of the loop until `done`, at most ten seconds.
    template <class Done>
    bool turns_until(Done done) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{10};
        bool reached = false;
        std::unique_ptr<Timer> look;
        look = loop->timer([&] {
            reached = done();
            if (reached || std::chrono::steady_clock::now() > end)
                loop->quit();
            else
                look->arm(std::chrono::milliseconds{1});
        });
        look->arm(std::chrono::nanoseconds{0});
        loop->run();
        return reached;
    }

    Bytes bytes_at(Gpa at, std::size_t count) {
        Bytes out(count);
        must(memory->read(at, out));
        return out;
    }

    std::unique_ptr<Loop> loop = must(Loop::create());
    std::unique_ptr<GuestMemory> memory = must(GuestMemory::create(8 << 20, 8 << 20));
    std::uint64_t features;
    std::array<FakeDriver, 3> drivers{FakeDriver{*memory, 256, Gpa{0x10000}},
                                      FakeDriver{*memory, 256, Gpa{0x20000}},
                                      FakeDriver{*memory, 64, Gpa{0x30000}}};
    std::array<std::optional<SplitQueue>, 3> queues;
    std::array<std::uint16_t, 3> last_avail{};
    NotingHost host;
    Wire wire;
    std::unique_ptr<Net> net;
};

constexpr Gpa kBuffers{0x100000}; // room for the tests' buffers

// An Ethernet frame behind a header of zeros: destination, our own source, a type, and a counting pattern.
inline Bytes frame_to(const MacAddress& destination, std::size_t size, std::uint8_t seed = 1) {
    Bytes out(kNetHeaderFull + size);
    for (std::size_t i = 0; i < size; ++i)
        out[kNetHeaderFull + i] = static_cast<std::byte>(seed + i * 7 + i / 251);
    std::memcpy(out.data() + kNetHeaderFull, destination.data(), destination.size());
    out[kNetHeaderFull + 12] = std::byte{0x08};
    out[kNetHeaderFull + 13] = std::byte{0x00};
    return out;
}

// Posts `count` receive buffers of `size` bytes, one after the other from `at`.
inline void post_buffers(NetRig& rig, unsigned count, std::uint32_t size, Gpa at = kBuffers) {
    for (unsigned i = 0; i < count; ++i)
        rig.rx().chain().writable(Gpa{at.value + std::uint64_t{i} * size}, size).offer();
}

inline unsigned put(NetRig& rig, Gpa at, std::span<const std::byte> bytes) {
    must(rig.memory->write(at, bytes));
    return static_cast<unsigned>(bytes.size());
}

// Sends a frame from the driver in one piece.
inline void transmit(NetRig& rig, const Bytes& frame, Gpa at = kBuffers) {
    rig.tx().chain().readable(at, put(rig, at, frame)).offer();
    rig.net->queue_notified(kNetTransmitQueue);
}

// The status byte, or nothing when there was no answer.
inline std::optional<int> command(NetRig& rig, const Bytes& bytes) {
    const Gpa answer{0x90000};
    must(rig.memory->write(answer, std::uint8_t{0xee}));
    rig.ctrl().chain().readable(Gpa{0x80000}, put(rig, Gpa{0x80000}, bytes)).writable(answer, 1).offer();
    rig.net->queue_notified(kNetControlQueue);
    if (!rig.ctrl().take_used().has_value())
        return std::nullopt;
    return must(rig.memory->read<std::uint8_t>(answer));
}

inline Bytes of(std::initializer_list<unsigned> values) {
    Bytes out;
    for (const unsigned value : values)
        out.push_back(static_cast<std::byte>(value));
    return out;
}

} // namespace godwit::virtio
