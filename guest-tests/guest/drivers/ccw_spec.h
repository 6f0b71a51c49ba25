// SPDX-License-Identifier: Apache-2.0
#pragma once
// Registers, structures and codes of the channel subsystem and of virtio-ccw.  Reference:
// docs/ccw-transport.md; virtio 1.2, section 4.3.
#include "base/byte_order.h"

namespace guest::css {

constexpr u64 usual_window = 0xfe800000;
constexpr u32 usual_status_gsi = 16, usual_adapter_gsi = 17;

enum Register : u64 {
    Id = 0x00,
    Version = 0x04,
    Doorbells = 0x08,
    Operation = 0x10,
    Notify = 0x18,
    IscMask = 0x20,
    IoPending = 0x24,
};
constexpr u32 id_value = 0x57434347, version_value = 1;

enum Function : u32 {
    ClearSubchannel = 0xb230,
    HaltSubchannel = 0xb231,
    ModifySubchannel = 0xb232,
    StartSubchannel = 0xb233,
    StoreSubchannel = 0xb234,
    TestSubchannel = 0xb235,
    TestPendingInterruption = 0xb236,
    ResumeSubchannel = 0xb238,
    NotifyQueue = 0x0500,
};

struct OperationBlock {
    Big<u32> function, subchannel;
    Big<u64> operand, operand2;
    Big<u32> outcome, reserved;
    Big<u64> result;
};
static_assert(sizeof(OperationBlock) == 40);
constexpr u32 never_done = 0xffffffff;

constexpr u32 subchannel_id = 0x00010000; // plus its number

struct Pmcw {
    Big<u32> parameter;
    Big<u16> flags, device;
    u8 path_mask, not_operational, last_used, installed;
    Big<u16> measurement;
    u8 operational, available, paths[8];
    Big<u32> characteristics;
};
static_assert(sizeof(Pmcw) == 28);
constexpr u16 pmcw_enabled = 0x0080, pmcw_device_valid = 0x0001;
constexpr u32 pmcw_isc_shift = 11;
constexpr u32 pmcw_concurrent_sense = 1;

struct Scsw {
    Big<u16> flags, control;
    Big<u32> ccw;
    u8 device_status, subchannel_status;
    Big<u16> residual;
};
static_assert(sizeof(Scsw) == 12);
constexpr u16 scsw_sensed = 0x0402; // of flags: ESW format, extended control; the others are of control
constexpr u16 scsw_start = 0x4000, scsw_halt = 0x2000, scsw_clear = 0x1000, scsw_suspended = 0x0020,
              scsw_intermediate = 0x0008, scsw_primary = 0x0004, scsw_pending = 0x0001;
constexpr u8 channel_end = 0x08, device_end = 0x04, unit_check = 0x02;

struct Schib {
    Pmcw pmcw;
    Scsw scsw;
    u8 model_dependent[12];
};
static_assert(sizeof(Schib) == 52);

struct Irb {
    Scsw scsw;
    Big<u32> esw[5];
    u8 ecw[32], emw[32];
};
static_assert(sizeof(Irb) == 96);

struct Orb {
    Big<u32> parameter;
    Big<u16> flags;
    u8 path_mask, flags2;
    Big<u32> program;
    Big<u32> unused[5];
};
static_assert(sizeof(Orb) == 32);
constexpr u16 orb_suspend = 0x0800, orb_format1 = 0x0080, orb_quiet = 0x0008;

struct alignas(8) Ccw {
    u8 command, flags;
    Big<u16> count;
    Big<u32> data;
};
static_assert(sizeof(Ccw) == 8);
constexpr u8 ccw_chain = 0x40, ccw_suspend = 0x02;

struct InterruptionCode {
    Big<u32> subchannel, parameter, word;
};
static_assert(sizeof(InterruptionCode) == 12);

struct SenseId {
    u8 ff, control_unit_type[2], control_unit_model, device_type[2], device_model;
};
static_assert(sizeof(SenseId) == 7);
constexpr u16 virtio_control_unit = 0x3832;

enum Command : u8 {
    NoOperation = 0x03,
    SetQueue = 0x13,
    ReadFeatures = 0x12,
    WriteFeatures = 0x11,
    ReadConfig = 0x22,
    WriteStatus = 0x31,
    ReadQueueConfig = 0x32,
    Reset = 0x33,
    SetIndicators = 0x43,
    SetConfigIndicators = 0x53,
    ReadStatus = 0x72,
    SetAdapterIndicators = 0x73,
    SetRevision = 0x83,
    SetByteOrder = 0xc3,
    SenseIdentity = 0xe4,
};

struct RevisionData {
    Big<u16> revision, length;
};
struct FeatureData {
    u8 features[4]; // little-endian, and not aligned in what the device reads
    u8 index;
};
static_assert(sizeof(FeatureData) == 5);
struct QueueData {
    Big<u64> descriptors;
    Big<u32> reserved;
    Big<u16> index, size;
    Big<u64> driver, device;
};
static_assert(sizeof(QueueData) == 32);
struct LegacyQueueData {
    Big<u64> address;
    Big<u32> alignment;
    Big<u16> index, size;
};
static_assert(sizeof(LegacyQueueData) == 16);
struct QueueLimit {
    Big<u16> index, size;
};
struct AdapterData {
    Big<u64> summary, indicators, bit;
    u8 isc;
};
constexpr u16 adapter_data_size = 25;
constexpr u8 order_little = 1, order_big = 2;

} // namespace guest::css
