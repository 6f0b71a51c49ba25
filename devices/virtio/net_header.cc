// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_header.h"

namespace godwit::virtio {

namespace {

// The feature that allows this kind of segmentation; nothing when the type is unknown.
Result<unsigned> feature_of(std::uint8_t gso_type) {
    switch (gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return VIRTIO_NET_F_HOST_TSO4;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return VIRTIO_NET_F_HOST_TSO6;
    case VIRTIO_NET_HDR_GSO_UDP:
        if ((gso_type & VIRTIO_NET_HDR_GSO_ECN) == 0)
            return VIRTIO_NET_F_HOST_UFO;
        break;
    default:
        break;
    }
    return error(ErrorCode::Guest, "segmentation type {:#x} is unknown", gso_type);
}

Status check_segmentation(const virtio_net_hdr& header, std::size_t frame_bytes, std::uint64_t features) {
    const unsigned needed = TRY(feature_of(header.gso_type));
    if (!has_feature(features, needed))
        return error(ErrorCode::Guest, "segmentation type {:#x} was not negotiated", header.gso_type);
    if ((header.gso_type & VIRTIO_NET_HDR_GSO_ECN) != 0 && !has_feature(features, VIRTIO_NET_F_HOST_ECN))
        return error(ErrorCode::Guest, "segmentation with ECN was not negotiated");
    if ((header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0)
        return error(ErrorCode::Guest, "segmentation without a checksum to fill in");
    if (header.gso_size == 0)
        return error(ErrorCode::Guest, "segments of no bytes");
    if (header.hdr_len > frame_bytes)
        return error(ErrorCode::Guest, "headers of {} bytes in a frame of {}", header.hdr_len, frame_bytes);
    return {};
}

} // namespace

Status check_transmit_header(virtio_net_hdr& header, std::size_t frame_bytes, std::uint64_t features) {
    if (frame_bytes < kEthernetHeader || frame_bytes > kFrameLimit)
        return error(ErrorCode::Guest, "frame of {} bytes", frame_bytes);
    header.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header.num_buffers = 0;
    if (header.flags != 0) {
        if (!has_feature(features, VIRTIO_NET_F_CSUM))
            return error(ErrorCode::Guest, "a checksum to fill in was not negotiated");
        if (std::size_t{header.csum_start} + header.csum_offset + 2 > frame_bytes)
            return error(ErrorCode::Guest, "checksum at {} + {} in a frame of {} bytes", header.csum_start,
                         header.csum_offset, frame_bytes);
    }
    if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE)
        return check_segmentation(header, frame_bytes, features);
    header.hdr_len = 0; // a hint that means nothing without segmentation
    header.gso_size = 0;
    return {};
}

} // namespace godwit::virtio
