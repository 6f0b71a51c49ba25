// SPDX-License-Identifier: Apache-2.0
//
// Saving a test guest and loading it into another one, section by section.
#pragma once

#include "vmm/kvm/state/sections.h"
#include "vmm/kvm/test_guest.h"

#include <algorithm>

namespace godwit::kvm {

inline Sections all_sections(TestGuest& guest) {
    Sections sections;
    sections.push_back(make_timer_section(guest.vcpus->clock()));
    for (std::uint32_t i = 0; i < guest.vcpus->size(); ++i)
        for (auto& section : make_cpu_sections(*guest.vcpus, i))
            sections.push_back(std::move(section));
    sections.push_back(make_ioapic_section(*guest.vm));
    sections.push_back(make_kvmclock_section(guest.vcpus->kvmclock()));
    return sections;
}

struct Record {
    SectionId id;
    std::vector<std::byte> bytes;
};

inline std::vector<Record> save(Sections& sections) {
    std::vector<Record> records;
    for (const auto& section : sections) {
        if (!section->needed())
            continue;
        const SectionId id = section->id();
        StateWriter writer{id.record, id.version};
        must(section->save(writer));
        records.push_back({id, {writer.bytes().begin(), writer.bytes().end()}});
    }
    return records;
}

inline Status load(Sections& sections, const std::vector<Record>& records) {
    for (const Record& record : records) {
        const auto found = std::ranges::find_if(sections, [&](const auto& section) {
            return section->id().name == record.id.name && section->id().instance == record.id.instance;
        });
        REQUIRE(found != sections.end());
        ByteReader in{record.bytes};
        StateReader reader{in, record.id.name};
        TRY((*found)->load(reader, record.id.version));
        if (!in.at_end())
            return corrupt("{}: bytes left", record.id.name);
    }
    for (const auto& section : sections)
        TRY(section->commit_load());
    return {};
}

inline void copy_ram(const TestGuest& from, TestGuest& to) {
    std::memcpy(to.memory->host(RamOffset{0}), from.memory->host(RamOffset{0}), from.memory->size());
}

inline const Record& find(const std::vector<Record>& records, std::string_view name,
                          std::uint32_t instance = 0) {
    const auto found = std::ranges::find_if(records, [&](const Record& record) {
        return record.id.name == name && record.id.instance == instance;
    });
    REQUIRE(found != records.end());
    return *found;
}

template <class S>
S parsed(const Record& record) {
    S state;
    ByteReader in{record.bytes};
    StateReader reader{in, record.id.name};
    must(reader.fields(state, record.id.version));
    return state;
}

} // namespace godwit::kvm
