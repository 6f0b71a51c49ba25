// SPDX-License-Identifier: Apache-2.0
//
// A machine as the migration sees it. vmm/machine implements it; the migration's tests implement it in
// memory. Threads: called on one migration thread at a time, never on the loop's or a vCPU's.
#pragma once

#include "migration/boot/boot_source.h"
#include "migration/preflight/description.h"
#include "migration/preflight/host_state.h"
#include "migration/run_state.h"
#include "migration/state/section.h"
#include "vmm/base/result.h"
#include "vmm/memory/guest_memory.h"

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace godwit::migration {

// How far bringing the guest's disk writes to stable storage is.
struct WriteBackState {
    bool under_way = false;
    std::chrono::microseconds took{}; // so far, or the whole pass that has ended
};

// What came with the sections.
struct BesideSections {
    std::string notes; // the source's; the text is hostile, and empty when it has none
    // What the guest reboots with, unless this machine was given something else; null when that is not known.
    BootSourcePtr boot;
};

class MachinePort {
  public:
    virtual ~MachinePort() = default;

    // What preflight compares, before a page moves (preflight/). Changes nothing.
    virtual MachineDescription describe() = 0;
    // For texts: the name of a virtio feature.
    virtual std::string feature_name(std::uint16_t device_id, unsigned bit) = 0;
    // Reads zero when a destination begins to receive.
    virtual GuestMemory& memory() = 0;

    // ---- source

    // After the call every page counts as not dirty; the caller sends all of them in its first round.
    virtual Status start_dirty_log() = 0;
    // ORs into `words` (bit 0 of word 0 is the first page of RAM) what the guest and the VMM wrote since the
    // last call.
    virtual Status harvest_dirty(std::span<std::uint64_t> words) = 0;
    virtual Status stop_dirty_log() = 0;

    // Slows the running guest: it stands still for `percent` of the time, at most 99; 0 ends that. A pause
    // does not wait for it.
    virtual Status throttle(std::uint32_t percent) = 0;

    virtual RunState run_state() = 0;
    // Stops vCPUs, then devices: afterwards nothing changes guest memory and all of the guest's disk writes
    // are on stable storage or in the page cache that the other side reads. Idempotent.
    virtual Status pause() = 0;
    // Undoes pause() when `state` is Running; a guest that was paused before stays so.
    virtual Status resume(RunState state) = 0;
    // Brings what the guest has written to its disks to stable storage, beside everything else: begins a pass
    // unless one is under way, and waits for its end for up to `patience`. An error when something was lost,
    // now or earlier: it stays one.
    virtual Result<WriteBackState> write_back(std::chrono::milliseconds patience) = 0;
    // After that. Lets go of what the destination must own before it can run (disk locks), and takes it back
    // after a failure. Taking back is tried again for a while when it fails: the destination may still let
    // go.
    virtual Status release_resources() = 0;
    virtual Status reclaim_resources() = 0;
    // The destination runs the guest: this machine never runs it again.
    virtual void handed_over() = 0;

    // ---- both

    // What the other side should know of the paused guest beside its sections: a text of the machine's own.
    virtual std::string notes() = 0;
    // In the order of the stream. Valid as long as the machine.
    virtual std::vector<StateSection*> sections() = 0;
    // What the guest is booted with, and goes with it; null when that is not known here. It changes only
    // while there is no guest here.
    virtual BootSourcePtr boot_source() = 0;

    // ---- destination

    // What this host can give to that guest. Changes nothing.
    virtual HostState host_state(const MachineDescription& guest) = 0;
    // The guest fits and comes now: gives this machine the processor that the guest was given. Nothing of a
    // guest is in it yet.
    virtual Status prepare_for(const MachineDescription& guest) = 0;
    // Back to an empty machine after an attempt that failed: guest RAM reads zero, no scratch state is left,
    // and nothing of what came to boot the guest.
    virtual Status discard_incoming() = 0;
    // All sections are loaded and validated: commits them and takes disk locks. `beside` came with them. The
    // guest does not run yet.
    virtual Status apply_incoming(BesideSections beside) = 0;
    // Runs the guest, or leaves it paused, and announces it to the network. An error means that the guest did
    // not run at all: the source gets it back.
    virtual Status take_over(RunState state) = 0;
};

} // namespace godwit::migration
