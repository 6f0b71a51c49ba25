// SPDX-License-Identifier: Apache-2.0
//
// The transport's part of a virtio device's section, as QEMU's s390 machines have it: the subchannel,
// indicators, adapter route, revision. Plain data of the loop.
#pragma once

#include "transports/ccw/subchannel_state.h"
#include "transports/ccw/virtio_spec.h"

#include <cstdint>

namespace godwit::ccw {

inline constexpr std::uint16_t kNoVector = 0xffff;
inline constexpr std::uint16_t kConfigVector = 1024; // of configuration changes, once a queue was set up

// Where indicator bits are. Length 0: switched off.
struct Indicator {
    std::int32_t len = 0; // bytes
    std::uint64_t addr = 0;
    bool operator==(const Indicator&) const = default;
};

struct AdapterInfo {
    std::uint64_t ind_offset = 0; // bit number of queue 0 in the indicators, from the left
    bool operator==(const AdapterInfo&) const = default;
};

struct AdapterRoutes {
    AdapterInfo adapter;
    bool operator==(const AdapterRoutes&) const = default;
};

struct CcwDevice {
    SubchannelState sch;
    bool operator==(const CcwDevice&) const = default;
};

struct VirtioCcwState {
    CcwDevice parent_obj; // the subchannel: filled in for the stream only
    Indicator indicators; // of queues: classic ones, or those of the adapter interruption
    Indicator indicators2;
    Indicator summary_indicator;
    std::uint16_t config_vector = kNoVector;
    AdapterRoutes routes;
    std::uint8_t thinint_isc = 0;
    std::int32_t revision = kRevisionUnset;
    bool operator==(const VirtioCcwState&) const = default;
};

} // namespace godwit::ccw

namespace godwit {

template <>
struct Schema<ccw::Indicator> {
    static constexpr std::string_view name = "s390_ind_addr_tmp";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"len", &ccw::Indicator::len},
                                       Field{"addr", &ccw::Indicator::addr}};
};
static_assert(schema_is_complete<ccw::Indicator>());

template <>
struct Schema<ccw::AdapterInfo> {
    static constexpr std::string_view name = "s390_adapter_info";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"ind_offset", &ccw::AdapterInfo::ind_offset}};
};
static_assert(schema_is_complete<ccw::AdapterInfo>());

template <>
struct Schema<ccw::AdapterRoutes> {
    static constexpr std::string_view name = "s390_adapter_routes";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"adapter", &ccw::AdapterRoutes::adapter}};
};
static_assert(schema_is_complete<ccw::AdapterRoutes>());

template <>
struct Schema<ccw::CcwDevice> {
    static constexpr std::string_view name = "s390_ccw_dev";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"sch", &ccw::CcwDevice::sch}};
};
static_assert(schema_is_complete<ccw::CcwDevice>());

template <>
struct Schema<ccw::VirtioCcwState> {
    using S = ccw::VirtioCcwState;
    static constexpr std::string_view name = "s390_virtio_ccw_dev";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{
        Field{"parent_obj", &S::parent_obj},       Field{"indicators", &S::indicators},
        Field{"indicators2", &S::indicators2},     Field{"summary_indicator", &S::summary_indicator},
        Field{"config_vector", &S::config_vector}, Field{"routes", &S::routes},
        Field{"thinint_isc", &S::thinint_isc},     Field{"revision", &S::revision},
    };
    static Status validate(const S& state);
};
static_assert(schema_is_complete<ccw::VirtioCcwState>());

} // namespace godwit
