// SPDX-License-Identifier: Apache-2.0
//
// Names and layouts of the block device, virtio 1.2 section 5.2. All fields are little-endian, or in
// a legacy driver's byte order.
#pragma once

#include "devices/virtio/spec.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace godwit::virtio {

// Feature bits, section 5.2.3.
inline constexpr unsigned VIRTIO_BLK_F_SIZE_MAX = 1;
inline constexpr unsigned VIRTIO_BLK_F_SEG_MAX = 2;
inline constexpr unsigned VIRTIO_BLK_F_GEOMETRY = 4;
inline constexpr unsigned VIRTIO_BLK_F_RO = 5;
inline constexpr unsigned VIRTIO_BLK_F_BLK_SIZE = 6;
inline constexpr unsigned VIRTIO_BLK_F_FLUSH = 9;
inline constexpr unsigned VIRTIO_BLK_F_TOPOLOGY = 10;
inline constexpr unsigned VIRTIO_BLK_F_CONFIG_WCE = 11;
inline constexpr unsigned VIRTIO_BLK_F_MQ = 12;
inline constexpr unsigned VIRTIO_BLK_F_DISCARD = 13;
inline constexpr unsigned VIRTIO_BLK_F_WRITE_ZEROES = 14;

// Request types, section 5.2.6.
inline constexpr std::uint32_t VIRTIO_BLK_T_IN = 0;
inline constexpr std::uint32_t VIRTIO_BLK_T_OUT = 1;
inline constexpr std::uint32_t VIRTIO_BLK_T_FLUSH = 4;
inline constexpr std::uint32_t VIRTIO_BLK_T_GET_ID = 8;
inline constexpr std::uint32_t VIRTIO_BLK_T_DISCARD = 11;
inline constexpr std::uint32_t VIRTIO_BLK_T_WRITE_ZEROES = 13;

// The last writable byte of a request.
inline constexpr std::uint8_t VIRTIO_BLK_S_OK = 0;
inline constexpr std::uint8_t VIRTIO_BLK_S_IOERR = 1;
inline constexpr std::uint8_t VIRTIO_BLK_S_UNSUPP = 2;

struct virtio_blk_req_header { // the fixed part of struct virtio_blk_req
    std::uint32_t type;
    std::uint32_t reserved;
    std::uint64_t sector;
};
static_assert(sizeof(virtio_blk_req_header) == 16);
constexpr virtio_blk_req_header in_order(const virtio_blk_req_header& header, DeviceEndian order) {
    return {in_order(header.type, order), header.reserved, in_order(header.sector, order)};
}

struct virtio_blk_discard_write_zeroes {
    std::uint64_t sector;
    std::uint32_t num_sectors;
    std::uint32_t flags; // bit 0: unmap
};
static_assert(sizeof(virtio_blk_discard_write_zeroes) == 16);
constexpr virtio_blk_discard_write_zeroes in_order(const virtio_blk_discard_write_zeroes& segment,
                                                   DeviceEndian order) {
    return {in_order(segment.sector, order), in_order(segment.num_sectors, order),
            in_order(segment.flags, order)};
}
inline constexpr std::uint32_t kWriteZeroesUnmap = 1;

// Section 5.2.4, up to write_zeroes_may_unmap, as QEMU has it.
struct [[gnu::packed]] virtio_blk_config {
    std::uint64_t capacity; // in sectors
    std::uint32_t size_max;
    std::uint32_t seg_max;
    struct [[gnu::packed]] {
        std::uint16_t cylinders;
        std::uint8_t heads;
        std::uint8_t sectors;
    } geometry;
    std::uint32_t blk_size;
    struct [[gnu::packed]] {
        std::uint8_t physical_block_exp;
        std::uint8_t alignment_offset;
        std::uint16_t min_io_size;
        std::uint32_t opt_io_size;
    } topology;
    std::uint8_t writeback;
    std::uint8_t unused0;
    std::uint16_t num_queues;
    std::uint32_t max_discard_sectors;
    std::uint32_t max_discard_seg;
    std::uint32_t discard_sector_alignment;
    std::uint32_t max_write_zeroes_sectors;
    std::uint32_t max_write_zeroes_seg;
    std::uint8_t write_zeroes_may_unmap;
};
static_assert(sizeof(virtio_blk_config) == 57);
static_assert(offsetof(virtio_blk_config, writeback) == 32);
static_assert(offsetof(virtio_blk_config, max_discard_sectors) == 36);
// Widths of its fields, in order.
inline constexpr std::array<std::uint8_t, 21> kBlkConfigFields{8, 4, 4, 2, 1, 1, 4, 1, 1, 2,
                                                               4, 1, 1, 2, 4, 4, 4, 4, 4, 1};

inline constexpr std::uint64_t kSectorSize = 512; // of all sector numbers, whatever blk_size says
inline constexpr std::size_t kBlkIdLength = 20;   // answer to GET_ID, not terminated

} // namespace godwit::virtio
