// SPDX-License-Identifier: Apache-2.0
//
// Commands and layouts of virtio over channel I/O, virtio 1.2 section 4.3. All fields are big-endian, except
// the feature word. Constants only, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace godwit::ccw {

inline constexpr std::uint16_t kVirtioControlUnit = 0x3832;

// Section 4.3.1.
inline constexpr std::uint8_t CCW_CMD_WRITE_FEAT = 0x11;
inline constexpr std::uint8_t CCW_CMD_READ_FEAT = 0x12;
inline constexpr std::uint8_t CCW_CMD_SET_VQ = 0x13;
inline constexpr std::uint8_t CCW_CMD_WRITE_CONF = 0x21;
inline constexpr std::uint8_t CCW_CMD_READ_CONF = 0x22;
inline constexpr std::uint8_t CCW_CMD_WRITE_STATUS = 0x31;
inline constexpr std::uint8_t CCW_CMD_READ_VQ_CONF = 0x32;
inline constexpr std::uint8_t CCW_CMD_VDEV_RESET = 0x33;
inline constexpr std::uint8_t CCW_CMD_SET_IND = 0x43;
inline constexpr std::uint8_t CCW_CMD_SET_CONF_IND = 0x53;
inline constexpr std::uint8_t CCW_CMD_READ_STATUS = 0x72;
inline constexpr std::uint8_t CCW_CMD_SET_IND_ADAPTER = 0x73;
inline constexpr std::uint8_t CCW_CMD_SET_VIRTIO_REV = 0x83;
// Not of the specification: a legacy driver's byte order, which this host cannot see.
inline constexpr std::uint8_t kCommandSetByteOrder = 0xc3;

inline constexpr std::int32_t kRevisionUnset = -1;
inline constexpr std::int32_t kRevisionMax = 2;

// Lengths of what the commands carry, sections 4.3.2 and 4.3.3.
inline constexpr std::size_t kFeatureBytes = 5;      // le32 features, u8 index
inline constexpr std::size_t kRevisionBytes = 4;     // be16 revision, be16 length
inline constexpr std::size_t kQueueBytes = 32;       // struct vq_info_block
inline constexpr std::size_t kLegacyQueueBytes = 16; // struct vq_info_block_legacy
inline constexpr std::size_t kQueueConfBytes = 4;    // struct vq_config_block
inline constexpr std::size_t kThinintBytes = 25;     // struct virtio_thinint_area
inline constexpr std::size_t kIndicatorBytes = 8;
inline constexpr std::uint32_t kLegacyAlignment = 4096;

} // namespace godwit::ccw
