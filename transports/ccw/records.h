// SPDX-License-Identifier: Apache-2.0
//
// The architecture's structures as state records. Names and order of the fields are those of QEMU's s390
// machines, and happen to be the layout that the guest sees: big-endian, without gaps. So one table serves
// the stream and guest memory (guest_form.h). Plain data of the loop.
#pragma once

#include "migration/state/schema.h"
#include "transports/ccw/spec.h"

#include <array>
#include <cstdint>
#include <optional>

namespace godwit::ccw {

struct Pmcw {
    std::uint32_t intparm = 0;
    std::uint16_t flags = 0;
    std::uint16_t devno = 0;
    std::uint8_t lpm = 0;
    std::uint8_t pnom = 0;
    std::uint8_t lpum = 0;
    std::uint8_t pim = 0;
    std::uint16_t mbi = 0;
    std::uint8_t pom = 0;
    std::uint8_t pam = 0;
    std::array<std::uint8_t, 8> chpid{};
    std::uint32_t chars = 0;
    bool operator==(const Pmcw&) const = default;
};

struct Scsw {
    std::uint16_t flags = 0;
    std::uint16_t ctrl = 0;
    std::uint32_t cpa = 0;
    std::uint8_t dstat = 0;
    std::uint8_t cstat = 0;
    std::uint16_t count = 0;
    bool operator==(const Scsw&) const = default;
};

struct Schib {
    Pmcw pmcw;
    Scsw scsw;
    std::uint64_t mba = 0;
    std::array<std::uint8_t, 4> mda{};
    bool operator==(const Schib&) const = default;
};

struct Orb { // its first 12 bytes; the rest is reserved
    std::uint32_t intparm = 0;
    std::uint16_t ctrl0 = 0;
    std::uint8_t lpm = 0;
    std::uint8_t ctrl1 = 0;
    std::uint32_t cpa = 0;
    bool operator==(const Orb&) const = default;
};

struct Ccw1 {
    std::uint8_t cmd_code = 0;
    std::uint8_t flags = 0;
    std::uint16_t count = 0;
    std::uint32_t cda = 0;
    bool operator==(const Ccw1&) const = default;
};

// An optional command of the device, as sense id lists them. Virtual devices have none.
struct Ciw {
    std::uint8_t type = 0;
    std::uint8_t command = 0;
    std::uint16_t count = 0;
    bool operator==(const Ciw&) const = default;
};

struct SenseId {
    std::uint8_t reserved = 0xff;
    std::uint16_t cu_type = 0;
    std::uint8_t cu_model = 0;
    std::uint16_t dev_type = 0;
    std::uint8_t dev_model = 0;
    std::uint8_t unused = 0;
    std::array<Ciw, 62> ciw{};
    bool operator==(const SenseId&) const = default;
};

struct OrbRecord {
    Orb orb;
    bool operator==(const OrbRecord&) const = default;
};

} // namespace godwit::ccw

namespace godwit {

template <>
struct Schema<ccw::Pmcw> {
    using S = ccw::Pmcw;
    static constexpr std::string_view name = "s390_pmcw";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{
        Field{"intparm", &S::intparm}, Field{"flags", &S::flags}, Field{"devno", &S::devno},
        Field{"lpm", &S::lpm},         Field{"pnom", &S::pnom},   Field{"lpum", &S::lpum},
        Field{"pim", &S::pim},         Field{"mbi", &S::mbi},     Field{"pom", &S::pom},
        Field{"pam", &S::pam},         Field{"chpid", &S::chpid}, Field{"chars", &S::chars}};
};
static_assert(schema_is_complete<ccw::Pmcw>());

template <>
struct Schema<ccw::Scsw> {
    using S = ccw::Scsw;
    static constexpr std::string_view name = "s390_scsw";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"flags", &S::flags}, Field{"ctrl", &S::ctrl},
                                       Field{"cpa", &S::cpa},     Field{"dstat", &S::dstat},
                                       Field{"cstat", &S::cstat}, Field{"count", &S::count}};
};
static_assert(schema_is_complete<ccw::Scsw>());

template <>
struct Schema<ccw::Schib> {
    using S = ccw::Schib;
    static constexpr std::string_view name = "s390_schib";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"pmcw", &S::pmcw}, Field{"scsw", &S::scsw},
                                       Field{"mba", &S::mba}, Field{"mda", &S::mda}};
};
static_assert(schema_is_complete<ccw::Schib>());

template <>
struct Schema<ccw::Orb> {
    using S = ccw::Orb;
    static constexpr std::string_view name = "s390_orb";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"intparm", &S::intparm}, Field{"ctrl0", &S::ctrl0},
                                       Field{"lpm", &S::lpm}, Field{"ctrl1", &S::ctrl1},
                                       Field{"cpa", &S::cpa}};
};
static_assert(schema_is_complete<ccw::Orb>());

template <>
struct Schema<ccw::Ccw1> {
    using S = ccw::Ccw1;
    static constexpr std::string_view name = "s390_ccw1";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"cmd_code", &S::cmd_code}, Field{"flags", &S::flags},
                                       Field{"count", &S::count}, Field{"cda", &S::cda}};
};
static_assert(schema_is_complete<ccw::Ccw1>());

template <>
struct Schema<ccw::Ciw> {
    using S = ccw::Ciw;
    static constexpr std::string_view name = "s390_ciw";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"type", &S::type}, Field{"command", &S::command},
                                       Field{"count", &S::count}};
};
static_assert(schema_is_complete<ccw::Ciw>());

template <>
struct Schema<ccw::SenseId> {
    using S = ccw::SenseId;
    static constexpr std::string_view name = "s390_sense_id";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"reserved", &S::reserved},
                                       Field{"cu_type", &S::cu_type},
                                       Field{"cu_model", &S::cu_model},
                                       Field{"dev_type", &S::dev_type},
                                       Field{"dev_model", &S::dev_model},
                                       Field{"unused", &S::unused},
                                       Field{"ciw", &S::ciw}};
};
static_assert(schema_is_complete<ccw::SenseId>());

template <>
struct Schema<ccw::OrbRecord> {
    static constexpr std::string_view name = "s390_subch_dev/orb";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"orb", &ccw::OrbRecord::orb}};
};
static_assert(schema_is_complete<ccw::OrbRecord>());

} // namespace godwit
