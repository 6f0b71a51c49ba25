// SPDX-License-Identifier: Apache-2.0
#include "drivers/virtio_ccw.h"

#include "base/options.h"
#include "base/report.h"
#include "machine/io.h"

#include <algorithm>
#include <atomic>

namespace guest::virtio {
namespace {

// All devices share these.  Parts begin at odd places, so that bits are told from bytes.
struct AdapterIndicators {
    u8 summary;
    u8 area[63];
};
constinit AdapterIndicators adapter alignas(64){};
constexpr u32 first_part = 5, bits_per_part = 11;
constinit u32 parts = 0;

// What the device reads and writes; commands are done one after the other.
union CommandData {
    css::RevisionData revision;
    css::FeatureData features;
    css::QueueData queue;
    css::LegacyQueueData legacy_queue;
    css::QueueLimit limit;
    css::AdapterData adapter;
    Big<u64> address;
    u8 byte;
    u8 config[256];
};
constinit CommandData command_data alignas(8){.config = {}};

constexpr u64 no_cookie = ~u64{0};
constexpr u32 max_subchannels = 256;

bool take_bit(u8& byte, u8 bit) {
    return (std::atomic_ref(byte).fetch_and(static_cast<u8>(~bit)) & bit) != 0;
}

} // namespace

bool VirtioCcw::attach(u16 virtio_id, interrupts::Mode mode) {
    if (!css::present())
        return false;
    for (u32 number = 0; number < max_subchannels && subchannel_.find(number); ++number) {
        if (!css::claim(number))
            continue;
        if (!subchannel_.enable(true) || subchannel_.control_unit_model() != virtio_id) {
            subchannel_.enable(false);
            css::release(number);
            continue;
        }
        choose(mode);
        if (!set_revision())
            return false;
        if (!polled_) {
            if (!css::watch(subchannel_, *this))
                return false;
            css::open_subclasses();
        }
        describe();
        return true;
    }
    return false;
}

void VirtioCcw::choose(interrupts::Mode mode) {
    std::string_view by_mode = mode == interrupts::Mode::Poll   ? "poll"
                               : mode == interrupts::Mode::Intx ? "classic"
                                                                : "adapter";
    std::string_view irq = options.text("ccw.irq", by_mode), bell = options.text("ccw.bell", "register");
    irq_ = irq == "poll" ? Irq::Poll : irq == "classic" ? Irq::Classic : Irq::Adapter;
    bell_ = bell == "operation" ? Bell::Operation : bell == "area" ? Bell::Area : Bell::Register;
    polled_ = irq_ == Irq::Poll;
    reports_ = !polled_;
    first_bit_ = first_part + bits_per_part * parts++;
}

bool VirtioCcw::set_revision() {
    for (u64 revision = std::min<u64>(options.number("ccw.rev", 2), 2) + 1; revision-- > 0;) {
        revision_ = static_cast<u16>(revision);
        command_data.revision = {revision_, 0};
        switch (subchannel_.run(css::SetRevision, &command_data, sizeof command_data.revision)) {
        case css::Outcome::Done:
            legacy_ = revision_ == 0;
            order_.big = legacy_ && options.text("ccw.endian", "little") == "big";
            return true;
        case css::Outcome::Rejected:
            continue;
        case css::Outcome::Failed:
            return false;
        }
    }
    return false;
}

void VirtioCcw::describe() const {
    Report("ccw")
        .add("subchannel", subchannel_.number())
        .add_hex("devno", subchannel_.device_number())
        .add("rev", revision_)
        .add("irq", irq_ == Irq::Poll      ? "poll"
                    : irq_ == Irq::Classic ? "classic"
                                           : "adapter")
        .add("endian", order_.big ? "big" : "little");
}

bool VirtioCcw::done(css::Command command, const void* data, u16 count) {
    return subchannel_.run(command, data, count) == css::Outcome::Done;
}

// A reset fails while requests are in flight that do not end; it may be tried again.
bool VirtioCcw::reset() {
    status_ = 0;
    for (int tries = 3; !done(css::Reset, nullptr, 0);)
        if (--tries == 0)
            return false;
    if (!order_.big)
        return true;
    command_data.byte = css::order_big;
    return done(css::SetByteOrder, &command_data, 1);
}

u8 VirtioCcw::read_status() {
    if (revision_ < 2)
        return status_;
    return done(css::ReadStatus, &command_data, 1) ? command_data.byte : u8{0};
}

bool VirtioCcw::write_status(u8 status) {
    command_data.byte = status_ = status;
    return done(css::WriteStatus, &command_data, 1);
}

u32 VirtioCcw::read_features(u32 index) {
    command_data.features = {{}, static_cast<u8>(index)};
    u32 features = 0;
    if (done(css::ReadFeatures, &command_data, sizeof(css::FeatureData)))
        memcpy(&features, command_data.features.features, sizeof features);
    return features;
}

bool VirtioCcw::write_features(u32 index, u32 features) {
    command_data.features.index = static_cast<u8>(index);
    memcpy(command_data.features.features, &features, sizeof features);
    return done(css::WriteFeatures, &command_data, sizeof(css::FeatureData));
}

u32 VirtioCcw::queue_limit(u16 index) {
    command_data.limit = {index, 0};
    if (index >= max_queues || !done(css::ReadQueueConfig, &command_data, sizeof(css::QueueLimit)))
        return 0;
    return command_data.limit.size;
}

bool VirtioCcw::connect(u16 index, Virtqueue& queue) {
    u16 size = static_cast<u16>(queue.size());
    queues_[index] = &queue;
    cookies_[index] = no_cookie;
    if (legacy_) {
        command_data.legacy_queue = {queue.descriptors(), page_size, index, size};
        return done(css::SetQueue, &command_data, sizeof(css::LegacyQueueData));
    }
    command_data.queue = {queue.descriptors(), 0, index, size, queue.driver_area(), queue.device_area()};
    return done(css::SetQueue, &command_data, sizeof(css::QueueData));
}

bool VirtioCcw::set_address(css::Command command, const void* area) {
    command_data.address = reinterpret_cast<u64>(area);
    return done(command, &command_data, sizeof command_data.address);
}

// A reset has switched all of them off.
bool VirtioCcw::set_up_interrupts() {
    if (polled_)
        return true;
    indicators_ = config_indicators_ = 0;
    if (!set_address(css::SetConfigIndicators, &config_indicators_))
        return false;
    if (irq_ == Irq::Classic)
        return set_address(css::SetIndicators, &indicators_);
    command_data.adapter = {reinterpret_cast<u64>(&adapter.summary), reinterpret_cast<u64>(adapter.area),
                            first_bit_, css::adapter_isc};
    return done(css::SetAdapterIndicators, &command_data, css::adapter_data_size);
}

void VirtioCcw::read_config(u32 offset, void* to, u32 size) {
    u32 end = offset + size;
    memset(to, 0, size);
    if (end <= sizeof command_data.config && done(css::ReadConfig, &command_data, static_cast<u16>(end)))
        memcpy(to, command_data.config + offset, size);
}

bool VirtioCcw::config_interrupted() {
    bool changed = config_flag_;
    config_flag_ = false;
    return changed;
}

void VirtioCcw::ring(u16 queue) {
    constexpr u64 doorbells = 0x10000;
    switch (bell_) {
    case Bell::Register:
        write_register<u64>(css::register_address(css::Notify), u64{subchannel_.id()} << 32 | queue);
        break;
    case Bell::Operation:
    case Bell::Area:
        if (bell_ == Bell::Area && cookies_[queue] != no_cookie) {
            write_register<u32>(css::register_address(doorbells) + cookies_[queue], queue);
            break;
        }
        css::operate(css::NotifyQueue, subchannel_.id(), queue, cookies_[queue]);
        cookies_[queue] = css::last_result();
        break;
    }
}

void VirtioCcw::tell(u32 queue) {
    if (queues_[queue] != nullptr)
        queues_[queue]->tell();
}

// 4.3.2.6.1: a set bit stands for a queue, or for the configuration.
void VirtioCcw::status_taken() {
    u64 bits = swap_bytes(std::atomic_ref(indicators_).exchange(0));
    for (u32 queue = 0; queue < max_queues; ++queue)
        if ((bits & bit(queue)) != 0)
            tell(queue);
    config_flag_ |= std::atomic_ref(config_indicators_).exchange(0) != 0;
}

// 4.3.2.6.3: the summary first.  Every device does this for itself, after one interrupt.
void VirtioCcw::adapter_interrupted() {
    if (irq_ != Irq::Adapter)
        return;
    std::atomic_ref(adapter.summary).store(0);
    for (u32 queue = 0; queue < max_queues; ++queue) {
        u32 at = first_bit_ + queue;
        if (take_bit(adapter.area[at / 8], static_cast<u8>(0x80 >> at % 8)))
            tell(queue);
    }
}

} // namespace guest::virtio
