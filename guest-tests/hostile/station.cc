// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/hostile/station.h"

#include "devices/virtio/blk.h"
#include "devices/virtio/rng.h"

#include <algorithm>
#include <sys/mman.h>
#include <unistd.h>

namespace godwit::hostile {

using namespace virtio;
using std::chrono::milliseconds;

namespace {

constexpr std::uint32_t kFrameBytes = 60;
constexpr std::uint8_t kAllButLive = ACKNOWLEDGE | DRIVER | FEATURES_OK;

class ConstantSource final : public EntropySource {
  public:
    ssize_t read(std::span<std::byte> out) override {
        std::fill(out.begin(), out.end(), kRandomByte);
        return static_cast<ssize_t>(out.size());
    }
    std::string_view name() const override { return "constant"; }
};

// A file in memory with the sectors' numbers.
Fd make_image() {
    Fd image = Fd::adopt(::memfd_create("godwit-hostile", MFD_CLOEXEC));
    Bytes content(kDiskSectors * kSectorSize, kDiskByte);
    for (std::uint64_t i = 0; i < kDiskSectors; ++i)
        store_le(std::span{content}.subspan(i * kSectorSize), i);
    if (::pwrite(image.get(), content.data(), content.size(), 0) != static_cast<ssize_t>(content.size()))
        throw std::runtime_error{"no memory for a disk"};
    return image;
}

std::unique_ptr<Device> make_device(Kind kind, const StationOptions& options, const Fd& image, Wire& wire,
                                    Loop& loop) {
    switch (kind) {
    case Kind::Blk:
        return must(Blk::create(
            loop, must(BlkImage::open("/proc/self/fd/" + std::to_string(image.get()), options.readonly)),
            {.id = "disk0", .serial = "a-serial", .num_queues = 2}));
    case Kind::Net:
        return must(
            Net::create({.id = "net0", .mac = kTestMac}, std::make_unique<SocketBackend>(wire), loop));
    case Kind::Rng:
        break;
    }
    return std::make_unique<Rng>("rng0", std::make_unique<ConstantSource>(), loop);
}

} // namespace

Station::Station(Kind kind, StationOptions options, Loop& loop, GuestMemory& memory, Gpa memory_at)
    : kind_(kind), options_(options), loop_(loop), memory_(memory), memory_at_(memory_at) {
    if (kind == Kind::Blk)
        image_ = make_image();
    loop.call([&] {
        device_ = make_device(kind, options_, image_, wire_, loop);
        core_.emplace(*device_, memory_);
    });
    for (std::uint16_t i = 0; i < core_->queue_count(); ++i)
        rings_.emplace_back(memory_, std::min(kRingSize, core_->max_queue_size(i)),
                            at(kRings + i * kRingStride));
}

Station::~Station() {
    loop_.call([&] {
        core_.reset();
        device_.reset();
    });
}

Bytes Station::disk(std::uint64_t sector, std::size_t count) const {
    Bytes bytes(count);
    if (::pread(image_.get(), bytes.data(), count, static_cast<off_t>(sector * kSectorSize)) !=
        static_cast<ssize_t>(count))
        throw std::runtime_error{"the disk became shorter"};
    return bytes;
}

// ---- set-up

std::uint64_t Station::wanted_features() {
    return (driver_->offered() & ~feature(VIRTIO_F_EVENT_IDX) & ~options_.features_off) |
           options_.features_on;
}

void Station::clear_rings() {
    for (std::uint16_t i = 0; i < queue_count(); ++i) {
        const FakeDriver& ring = rings_[i];
        const std::uint64_t end = ring.addresses().device.value + 6 + 8u * ring.size();
        must(memory_.write(ring.addresses().desc, Bytes(end - ring.addresses().desc.value)));
        rings_[i] = FakeDriver{memory_, ring.size(), ring.addresses().desc};
    }
}

// Within one turn of the loop: nothing here waits for another.
bool Station::set_up(Stage stage) {
    return loop_.call([&] {
        if (!driver_->begin() || driver_->status() != 0)
            return false;
        clear_rings(); // the device has let go of them
        return go_on(Stage::Reset, stage);
    });
}

bool Station::go_on(Stage from, Stage to) {
    if (from < Stage::Driver && to >= Stage::Driver &&
        !(driver_->set_status(ACKNOWLEDGE) && driver_->set_status(ACKNOWLEDGE | DRIVER)))
        return false;
    if (from < Stage::Negotiated && to >= Stage::Negotiated) {
        driver_->accept(wanted_features());
        if (!driver_->set_status(kAllButLive))
            return false;
    }
    if (from < Stage::QueuesSet && to >= Stage::QueuesSet) {
        for (std::uint16_t i = 0; i < queue_count(); ++i)
            if (!driver_->set_queue(i, rings_[i].size(), rings_[i].addresses()))
                return false;
        if (!driver_->set_interrupts())
            return false;
    }
    if (from < Stage::Live && to >= Stage::Live)
        return driver_->set_status(kAllButLive | DRIVER_OK);
    return true;
}

void Station::continue_as(const Station& there) {
    for (std::size_t i = 0; i < rings_.size(); ++i)
        rings_[i] = there.rings_[i].moved_to(memory_);
}

// ---- good requests

std::optional<virtq_used_elem> Station::wait_used(std::uint16_t queue, milliseconds patience) {
    const auto end = std::chrono::steady_clock::now() + patience;
    for (;;) {
        // The first turn hears the doorbell; what it starts may be used in a later one.
        const bool running = loop_.call([&] { return core_->running(); });
        if (const auto used = ring(queue).take_used(); used.has_value())
            return used;
        if (!running || std::chrono::steady_clock::now() > end)
            return std::nullopt;
    }
}

bool Station::works(milliseconds patience) {
    switch (kind_) {
    case Kind::Blk:
        return blk_works(patience);
    case Kind::Net:
        return net_works(patience);
    case Kind::Rng:
        break;
    }
    return rng_works(patience);
}

std::uint8_t Station::blk_request(std::uint32_t type, std::uint64_t sector, milliseconds patience) {
    constexpr std::uint8_t kNothing = 0xee;
    const Gpa header = at(kGood), data = at(kGood + 0x100), status = at(kGood + 0x400);
    must(memory_.write(header, virtio_blk_req_header{type, 0, sector}));
    must(memory_.write(status, kNothing));
    auto chain = ring(0).chain();
    chain.readable(header, sizeof(virtio_blk_req_header));
    if (type == VIRTIO_BLK_T_OUT)
        chain.readable(data, kSectorSize);
    else
        chain.writable(data, kSectorSize);
    const std::uint16_t head = chain.writable(status, 1).offer();
    driver_->notify(0);
    while (const auto used = wait_used(0, patience))
        if (used->id == head)
            return must(memory_.read<std::uint8_t>(status));
    return kNothing;
}

bool Station::blk_works(milliseconds patience) {
    constexpr std::uint64_t kRead = 5, kWritten = 20;
    const Gpa data = at(kGood + 0x100);
    Bytes bytes(kSectorSize);
    must(memory_.write(data, bytes));
    if (blk_request(VIRTIO_BLK_T_IN, kRead, patience) != VIRTIO_BLK_S_OK)
        return false;
    must(memory_.read(data, bytes));
    if (bytes != disk(kRead, kSectorSize) || load_le<std::uint64_t>(bytes) != kRead)
        return false;
    if (options_.readonly)
        return true;
    std::fill(bytes.begin(), bytes.end(), std::byte{0x3c});
    must(memory_.write(data, bytes));
    return blk_request(VIRTIO_BLK_T_OUT, kWritten, patience) == VIRTIO_BLK_S_OK &&
           disk(kWritten, kSectorSize) == bytes;
}

bool Station::net_works(milliseconds patience) {
    while (!wire_.take().empty()) {
    }
    // A frame to the guest.
    const Bytes frame = frame_to(kTestMac, kFrameBytes);
    const Gpa buffer = at(kGood), sent = at(kGood + 0x1000), command = at(kGood + 0x2000),
              answer = at(kGood + 0x2100);
    const std::uint16_t head = ring(kNetReceiveQueue).chain().writable(buffer, 0x800).offer();
    driver_->notify(kNetReceiveQueue);
    wire_.send(frame);
    std::uint64_t received = 0;
    bool whole = true;
    while (received < frame.size()) {
        const auto used = wait_used(kNetReceiveQueue, patience);
        if (!used.has_value())
            return false;
        received += used->len;
        if (used->id == head && used->len == frame.size()) {
            Bytes seen(frame.size());
            must(memory_.read(buffer, seen));
            whole = std::equal(seen.begin() + kNetHeaderFull, seen.end(), frame.begin() + kNetHeaderFull);
        }
    }
    // A frame from the guest.
    must(memory_.write(sent, frame));
    ring(kNetTransmitQueue).chain().readable(sent, static_cast<std::uint32_t>(frame.size())).offer();
    driver_->notify(kNetTransmitQueue);
    if (!whole || received != frame.size() || !wait_used(kNetTransmitQueue, patience).has_value() ||
        wire_.take() != frame)
        return false;
    // A command.
    must(memory_.write(command, of({VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1})));
    must(memory_.write(answer, std::uint8_t{0xee}));
    ring(kNetControlQueue).chain().readable(command, 3).writable(answer, 1).offer();
    driver_->notify(kNetControlQueue);
    const bool allowed =
        loop_.call([&] { return has_feature(core_->driver_features(), VIRTIO_NET_F_CTRL_RX); });
    return wait_used(kNetControlQueue, patience).has_value() &&
           must(memory_.read<std::uint8_t>(answer)) == (allowed ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
}

bool Station::rng_works(milliseconds patience) {
    constexpr std::uint32_t kWanted = 64;
    must(memory_.write(at(kGood), Bytes(kWanted)));
    const std::uint16_t head = ring(0).chain().writable(at(kGood), kWanted).offer();
    driver_->notify(0);
    while (const auto used = wait_used(0, patience)) {
        Bytes bytes(kWanted);
        must(memory_.read(at(kGood), bytes));
        if (used->id == head)
            return used->len == kWanted && bytes == Bytes(kWanted, kRandomByte);
    }
    return false;
}

} // namespace godwit::hostile
