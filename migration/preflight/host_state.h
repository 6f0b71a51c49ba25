// SPDX-License-Identifier: Apache-2.0
//
// What the destination's host can give right now, beside the shape of the machine: memory, disks, taps, the
// processor. Filled in by the machine (MachinePort::host_state), judged by compare.h. A value.
#pragma once

#include "vmm/cpu/cpuid.h"

#include <cstdint>
#include <string>
#include <vector>

namespace godwit::migration {

struct DiskState {
    std::string id;
    std::string path;
    std::uint64_t bytes_at_start = 0; // when the receiver opened it
    std::uint64_t bytes_now = 0;
    bool locked_by_stranger = false; // by a process that is not the source
};

struct TapState {
    std::string id;
    std::string interface;
    std::string fault; // empty: it is there
    std::string lack;  // "is down"; empty: frames get somewhere from it
};

struct HostState {
    std::uint64_t memory_available = 0; // bytes that can be had for guest RAM, what it has already included
    std::vector<DiskState> disks;
    std::vector<TapState> taps;
    std::uint32_t tsc_khz = 0;
    bool gives_tsc_khz = true; // the rate that the guest has
    cpu::CpuModel cpu;         // everything that this host can give to a guest
};

} // namespace godwit::migration
