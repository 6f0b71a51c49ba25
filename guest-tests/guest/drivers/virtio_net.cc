// SPDX-License-Identifier: Apache-2.0
#include "drivers/virtio_net.h"

#include "base/options.h"
#include "machine/ram.h"

#include <algorithm>
#include <array>
#include <bit>

namespace guest::virtio {
namespace {

constexpr u16 receive_index = 0, transmit_index = 1, control_index = 2;

} // namespace

bool VirtioNet::allocate() {
    if (receive_memory_ != nullptr)
        return true;
    receive_memory_ = static_cast<u8*>(ram.allocate(receive_buffers * buffer_capacity, page_size));
    transmit_memory_ = static_cast<u8*>(ram.allocate(transmit_buffers * buffer_capacity, page_size));
    control_command_ = static_cast<Control*>(ram.allocate(sizeof(Control), 64));
    return receive_memory_ != nullptr && transmit_memory_ != nullptr && control_command_ != nullptr;
}

bool VirtioNet::begin(bool checksum_offload, u32 buffer_size) {
    u64 wanted = net::VIRTIO_NET_F_MAC | net::VIRTIO_NET_F_STATUS | net::VIRTIO_NET_F_CTRL_VQ |
                 net::VIRTIO_NET_F_GUEST_ANNOUNCE;
    if (options.flag("net.mrg", true))
        wanted |= net::VIRTIO_NET_F_MRG_RXBUF;
    if (checksum_offload)
        wanted |= net::VIRTIO_NET_F_CSUM | net::VIRTIO_NET_F_GUEST_CSUM;
    if (!allocate() || !bus_.begin(wanted))
        return false;
    if (!bus_.set_up_queue(receive_index, receive_) || !bus_.set_up_queue(transmit_index, transmit_))
        return false;
    if (has(net::VIRTIO_NET_F_CTRL_VQ) && !bus_.set_up_queue(control_index, control_))
        return false;
    control_command_->pending = false;
    transmit_free_ = ~u64{0};
    buffer_size_ = has(net::VIRTIO_NET_F_MRG_RXBUF) ? std::clamp<u32>(buffer_size, 64, buffer_capacity)
                                                    : buffer_capacity;
    header_size_ =
        bus_.legacy() && !has(net::VIRTIO_NET_F_MRG_RXBUF) ? net::legacy_header : u32{sizeof(net::Header)};
    bus_.run();
    for (u32 i = 0; i < 6; ++i)
        mac_[i] = has(net::VIRTIO_NET_F_MAC) ? bus_.config<u8>(net::config_mac + i)
                                             : static_cast<u8>(i == 0 ? 2 : i);
    for (u16 i = 0; i < receive_buffers; ++i)
        if (!post(i))
            break;
    receive_.kick();
    return true;
}

bool VirtioNet::post(u16 buffer) {
    u8* data = receive_buffer(buffer);
    std::array<Segment, 2> segments{{{data, buffer_size_, true}}};
    if (!header_apart() || has(net::VIRTIO_NET_F_MRG_RXBUF))
        return receive_.add(std::span(segments).first(1), buffer);
    segments = {{{data, header_size_, true}, {data + header_size_, buffer_size_ - header_size_, true}}};
    return receive_.add(segments, buffer);
}

// 5.1.6.4: a frame starts with the header and goes on in the next num_buffers - 1 buffers.
bool VirtioNet::receive(Frame& frame) {
    Virtqueue::Used used;
    if (!receive_.pop(used))
        return false;
    const auto* header = reinterpret_cast<const net::Header*>(receive_buffer(used.token));
    u32 buffers = has(net::VIRTIO_NET_F_MRG_RXBUF) ? bus_.byte_order()(header->num_buffers) : 1;
    frame.checksum_known_good =
        (header->flags & (net::VIRTIO_NET_HDR_F_NEEDS_CSUM | net::VIRTIO_NET_HDR_F_DATA_VALID)) != 0;
    frame.length = 0;
    merged_ += buffers > 1;
    bool fits = true;
    u32 skip = header_size_;
    for (;;) {
        u32 length = std::min(used.length, buffer_size_);
        length -= std::min(length, skip);
        fits &= frame.length + length <= Frame::capacity;
        if (fits) {
            memcpy(frame.data + frame.length, receive_buffer(used.token) + skip, length);
            frame.length += length;
        }
        post(used.token);
        skip = 0;
        if (--buffers == 0 || !receive_.pop(used))
            break;
    }
    if (!fits) {
        ++oversized_;
        frame.length = 0;
    }
    return true;
}

bool VirtioNet::send(const u8* frame, u32 length, u32 checksum_start, u32 checksum_offset) {
    if (transmit_free_ == 0)
        reclaim();
    if (transmit_free_ == 0 || length > buffer_capacity - header_size_)
        return false;
    u32 n = static_cast<u32>(std::countr_zero(transmit_free_));
    u8* buffer = transmit_buffer(n);
    net::Header header{};
    if (checksum_start != 0) {
        header.flags = net::VIRTIO_NET_HDR_F_NEEDS_CSUM;
        header.csum_start = bus_.byte_order()(static_cast<u16>(checksum_start));
        header.csum_offset = bus_.byte_order()(static_cast<u16>(checksum_offset));
    }
    memcpy(buffer, &header, header_size_);
    memcpy(buffer + header_size_, frame, length);
    std::array<Segment, 2> segments{{{buffer, header_size_, false}, {buffer + header_size_, length, false}}};
    if (!header_apart())
        segments[0].length += length;
    if (!transmit_.add(std::span(segments).first(header_apart() ? 2 : 1), static_cast<u16>(n)))
        return false;
    transmit_free_ &= ~bit(n);
    return true;
}

void VirtioNet::kick() {
    receive_.kick();
    transmit_.kick();
}

// Transmit interrupts are never armed: finished buffers are collected when there is other work.
void VirtioNet::reclaim() {
    Virtqueue::Used used;
    while (transmit_.pop(used))
        transmit_free_ |= bit(used.token);
    if (!has(net::VIRTIO_NET_F_CTRL_VQ))
        return;
    do {
        while (control_.pop(used)) {
            control_command_->pending = false;
            acknowledged_ += control_command_->ack == net::VIRTIO_NET_OK;
        }
    } while (control_.arm_interrupt());
}

// 5.1.6.5.4
bool VirtioNet::acknowledge_announce() {
    if (!has(net::VIRTIO_NET_F_CTRL_VQ) || control_command_->pending)
        return false;
    *control_command_ = {net::VIRTIO_NET_CTRL_ANNOUNCE, net::VIRTIO_NET_CTRL_ANNOUNCE_ACK, 0xff, true};
    std::array<Segment, 2> segments{{
        {&control_command_->command_class, 2, false},
        {const_cast<u8*>(&control_command_->ack), 1, true},
    }};
    bool sent = control_.add(segments, 0);
    control_.kick();
    return sent;
}

} // namespace guest::virtio
