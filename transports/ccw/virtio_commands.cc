// SPDX-License-Identifier: Apache-2.0
//
// The channel commands of a virtio device, virtio 1.2 sections 4.3.1.2, 4.3.2 and 4.3.3; what each one
// refuses is in docs/ccw-transport.md, section 7. A command takes all its data before it judges any of it, so
// that lengths are told apart from contents.
#include "transports/ccw/indicators.h"
#include "transports/ccw/virtio_ccw.h"

#include <array>
#include <bit>

namespace godwit::ccw {

namespace {

using virtio::DeviceEndian;

constexpr std::uint8_t kDriverBits =
    virtio::ACKNOWLEDGE | virtio::DRIVER | virtio::DRIVER_OK | virtio::FEATURES_OK | virtio::FAILED;
constexpr std::uint64_t kLowWord = 0xffff'ffff;
constexpr std::uint8_t kIscMax = 7;
constexpr std::uint64_t kBitLimit = std::uint64_t{1} << 32; // of bit numbers in an indicator area

// Takes exactly as many bytes as `out` has; an argument of a read command is looked at only.
template <std::size_t N>
bool taken(DataStream& data, std::array<std::byte, N>& out) {
    return data.take(out) == N;
}
template <std::size_t N>
bool looked_at(DataStream& data, std::array<std::byte, N>& out) {
    return data.look(out) == N || taken(data, out); // the latter says what is wrong
}

struct QueueBlock {
    virtio::QueueAddresses addresses;
    std::uint16_t index;
    std::uint16_t size;
    bool well_formed;
};

QueueBlock modern_block(std::span<const std::byte> raw) {
    return {{Gpa{load_be<std::uint64_t>(raw)}, Gpa{load_be<std::uint64_t>(raw.subspan(16))},
             Gpa{load_be<std::uint64_t>(raw.subspan(24))}},
            load_be<std::uint16_t>(raw.subspan(12)),
            load_be<std::uint16_t>(raw.subspan(14)),
            true};
}

// One address for all three areas: section 2.7.2 of the legacy interface.
QueueBlock legacy_block(std::span<const std::byte> raw) {
    const auto base = load_be<std::uint64_t>(raw);
    const auto alignment = load_be<std::uint32_t>(raw.subspan(8));
    const auto index = load_be<std::uint16_t>(raw.subspan(12));
    const auto size = load_be<std::uint16_t>(raw.subspan(14));
    const std::uint64_t available = base + 16 * std::uint64_t{size};
    const std::uint64_t used = align_up(available + 6 + 2 * std::uint64_t{size}, kLegacyAlignment);
    return {{Gpa{base}, Gpa{available}, Gpa{used}}, index, size, base == 0 || alignment == kLegacyAlignment};
}

} // namespace

Reply VirtioCcw::execute(std::uint8_t command, DataStream& data) {
    switch (command) {
    case CCW_CMD_SET_VIRTIO_REV:
        return set_revision(data);
    case CCW_CMD_VDEV_RESET:
        return reset_device(data);
    case CCW_CMD_READ_FEAT:
        return read_features(data);
    case CCW_CMD_WRITE_FEAT:
        return write_features(data);
    case CCW_CMD_READ_CONF:
        return read_config(data);
    case CCW_CMD_WRITE_CONF:
        return write_config(data);
    case CCW_CMD_READ_STATUS:
        return read_status(data);
    case CCW_CMD_WRITE_STATUS:
        return write_status(data);
    case CCW_CMD_SET_VQ:
        return set_queue(data);
    case CCW_CMD_READ_VQ_CONF:
        return read_queue_config(data);
    case CCW_CMD_SET_IND:
        return set_indicators(data, state_.indicators, !subchannel_.thinint_active());
    case CCW_CMD_SET_CONF_IND:
        return set_indicators(data, state_.indicators2, true);
    case CCW_CMD_SET_IND_ADAPTER:
        return set_adapter_indicators(data);
    case kCommandSetByteOrder:
        return set_byte_order(data);
    default:
        return Reply::Unknown;
    }
}

// Section 4.3.2.1. No revision that we know has data of its own.
Reply VirtioCcw::set_revision(DataStream& data) {
    std::array<std::byte, kRevisionBytes> head;
    if (!taken(data, head))
        return Reply::Short;
    const auto revision = load_be<std::uint16_t>(head);
    std::vector<std::byte> extra(load_be<std::uint16_t>(std::span{head}.subspan(2)));
    if (data.take(extra) != extra.size())
        return Reply::Short;
    if (state_.revision != kRevisionUnset || revision > kRevisionMax || !extra.empty())
        return Reply::Reject;
    state_.revision = revision;
    return Reply::Done;
}

Reply VirtioCcw::reset_device(DataStream& data) {
    data.no_data();
    core_.set_status(0);
    return core_.status() == 0 ? Reply::Done : Reply::Failed;
}

// ---- features, configuration, status

Reply VirtioCcw::read_features(DataStream& data) {
    std::array<std::byte, kFeatureBytes> block;
    if (!looked_at(data, block))
        return Reply::Short;
    const auto index = static_cast<std::uint8_t>(block[4]);
    const std::uint64_t offered = core_.offered_features();
    std::uint32_t word = 0;
    if (index == 0)
        word = static_cast<std::uint32_t>(offered);
    else if (index == 1 && !legacy())
        word = static_cast<std::uint32_t>(offered >> 32);
    store_le(std::span{block}, word);
    data.give(block);
    return Reply::Done;
}

Reply VirtioCcw::write_features(DataStream& data) {
    std::array<std::byte, kFeatureBytes> block;
    if (!taken(data, block))
        return Reply::Short;
    const auto index = static_cast<std::uint8_t>(block[4]);
    const std::uint64_t word = load_le<std::uint32_t>(block);
    const std::uint64_t before = core_.driver_features();
    if (index == 0)
        core_.set_driver_features((before & ~kLowWord) | word);
    else if (index == 1 && !legacy())
        core_.set_driver_features((before & kLowWord) | word << 32);
    return Reply::Done;
}

Reply VirtioCcw::read_config(DataStream& data) {
    std::vector<std::byte> config(core_.traits().config_length);
    core_.read_config(0, config);
    if (data.give(config) != 0)
        data.enough();
    return Reply::Done;
}

Reply VirtioCcw::write_config(DataStream& data) {
    std::vector<std::byte> config(core_.traits().config_length);
    const std::size_t count = data.take(config);
    if (count == 0 || data.faulted())
        return Reply::Short;
    data.enough();
    core_.write_config(0, std::span{config}.first(count));
    return Reply::Done;
}

// Revision 2 brought it.
Reply VirtioCcw::read_status(DataStream& data) {
    if (state_.revision < 2)
        return Reply::Unknown;
    const std::array status{std::byte{core_.status()}};
    data.give(status);
    return Reply::Done;
}

// Section 4.3.2.3: a status that the device refuses is a command reject.
Reply VirtioCcw::write_status(DataStream& data) {
    std::array<std::byte, 1> block;
    if (!taken(data, block))
        return Reply::Short;
    const auto status = static_cast<std::uint8_t>(block[0]);
    if (status != 0 && (core_.status() & kDriverBits & ~status) != 0)
        return Reply::Reject;
    core_.set_status(status);
    if (status == 0)
        return core_.status() == 0 ? Reply::Done : Reply::Failed;
    return (status & kDriverBits & ~core_.status()) == 0 ? Reply::Done : Reply::Reject;
}

// ---- queues

Reply VirtioCcw::set_queue(DataStream& data) {
    QueueBlock block{};
    if (legacy()) {
        std::array<std::byte, kLegacyQueueBytes> raw;
        if (!taken(data, raw))
            return Reply::Short;
        block = legacy_block(raw);
    } else {
        std::array<std::byte, kQueueBytes> raw;
        if (!taken(data, raw))
            return Reply::Short;
        block = modern_block(raw);
    }
    const virtio::QueueSetup* const queue = core_.queue(block.index);
    if (queue == nullptr)
        return Reply::Reject;
    if (block.addresses.desc.value == 0) {
        core_.give_up_queue(block.index);
        vectors_[block.index] = kNoVector;
        return Reply::Done;
    }
    if (!block.well_formed || queue->enabled || !std::has_single_bit(block.size) ||
        block.size > core_.max_queue_size(block.index) ||
        !virtio::SplitQueue::check_areas(memory_, block.size, block.addresses).ok())
        return Reply::Reject;
    core_.set_queue_size(block.index, block.size);
    core_.set_queue_addresses(block.index, block.addresses);
    core_.enable_queue(block.index);
    vectors_[block.index] = block.index;
    state_.config_vector = kConfigVector;
    return Reply::Done;
}

Reply VirtioCcw::read_queue_config(DataStream& data) {
    std::array<std::byte, kQueueConfBytes> block;
    if (!looked_at(data, block))
        return Reply::Short;
    store_be(std::span{block}.subspan(2), core_.max_queue_size(load_be<std::uint16_t>(block)));
    data.give(block);
    return Reply::Done;
}

// ---- indicators: section 4.3.2.6

Reply VirtioCcw::set_indicators(DataStream& data, Indicator& word, bool allowed) {
    std::array<std::byte, kIndicatorBytes> block;
    if (!taken(data, block))
        return Reply::Short;
    const auto address = load_be<std::uint64_t>(block);
    const Indicator wanted{address == 0 ? 0 : kClassicLength, address};
    if (!allowed || !check_classic(memory_, wanted).ok())
        return Reply::Reject;
    word = wanted;
    return Reply::Done;
}

Reply VirtioCcw::set_adapter_indicators(DataStream& data) {
    std::array<std::byte, kThinintBytes> block;
    if (!taken(data, block))
        return Reply::Short;
    const std::span<const std::byte> all{block};
    const auto summary = load_be<std::uint64_t>(all);
    const auto area = load_be<std::uint64_t>(all.subspan(8));
    const auto bit = load_be<std::uint64_t>(all.subspan(16));
    const auto isc = static_cast<std::uint8_t>(all[24]);
    if (state_.indicators.len != 0 && !subchannel_.thinint_active())
        return Reply::Reject;
    if (summary == 0 && area == 0) {
        state_.summary_indicator = {};
        state_.indicators = {};
        state_.routes = {};
        state_.thinint_isc = 0;
        subchannel_.set_thinint_active(false);
        return Reply::Done;
    }
    if (summary == 0 || area == 0 || isc > kIscMax || bit >= kBitLimit)
        return Reply::Reject;
    const Indicator bits{static_cast<std::int32_t>((bit + core_.queue_count() - 1) / 8 + 1), area};
    const Indicator byte{1, summary};
    if (!check_area(memory_, bits).ok() || !check_area(memory_, byte).ok())
        return Reply::Reject;
    state_.indicators = bits;
    state_.summary_indicator = byte;
    state_.routes.adapter.ind_offset = bit;
    state_.thinint_isc = isc;
    subchannel_.set_thinint_active(true);
    return Reply::Done;
}

// ---- byte order of a legacy driver

Reply VirtioCcw::set_byte_order(DataStream& data) {
    std::array<std::byte, 1> block;
    if (!taken(data, block))
        return Reply::Short;
    const auto order = static_cast<DeviceEndian>(block[0]);
    bool queues = false;
    for (std::uint16_t i = 0; i < core_.queue_count(); ++i)
        queues = queues || core_.queue(i)->enabled;
    if (!legacy() || queues || driver_ok() || (order != DeviceEndian::Little && order != DeviceEndian::Big))
        return Reply::Reject;
    core_.set_device_endian(order);
    return Reply::Done;
}

} // namespace godwit::ccw
