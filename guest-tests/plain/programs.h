// SPDX-License-Identifier: Apache-2.0
//
// The guest itself: its CPUs' programs from the first report line to the last, as the command line in RAM
// wants them (guest-tests/guest/programs/main.cc is the same way on vCPUs). An object lasts from one start of
// the CPUs to the next stop; all that outlives it is in State and in RAM. Threads: step(cpu) on that CPU's.
#pragma once

#include "devices/serial/serial.h"
#include "devices/virtio/blk_image.h"
#include "guest-tests/plain/disk_work.h"
#include "guest-tests/plain/heartbeat.h"
#include "guest-tests/plain/layout.h"
#include "guest-tests/plain/mem_worker.h"
#include "guest-tests/plain/output.h"
#include "guest-tests/plain/state.h"

#include <functional>
#include <optional>
#include <vector>

namespace godwit::plain {

class Programs {
  public:
    struct Machine {
        GuestMemory& memory;
        Serial& serial;
        const virtio::BlkImage* disk; // the first one, or null
        std::function<void()> wake_all;
        std::function<void()> power_off;
        std::function<void()> reset;
    };

    Programs(const Machine& machine, State& state);

    // Does a little; the time at which this CPU wants to go on.
    std::uint64_t step(std::uint32_t cpu, std::uint64_t now);

    // For a state that came from elsewhere, before it is taken: whether it fits the command line in RAM.
    static Status check(const GuestMemory& memory, const virtio::BlkImage* disk, std::uint32_t cpu,
                        std::uint32_t cpus, const CpuState& state);
    static Status check(const GuestMemory& memory, const virtio::BlkImage* disk, const DiskState& state);

  private:
    std::uint64_t first_cpu(std::uint64_t now);
    std::uint64_t take_turn(std::uint64_t now);
    void boot();
    std::uint64_t work(std::uint64_t now);
    void run(std::uint64_t now);
    void begin_finish(std::string_view why, std::uint64_t now);
    void finish(std::uint64_t now);
    void look_for_wrong_pages();
    void print_status();
    void print_mem();
    bool all_workers(WorkerPhase reached) const;
    Stage stage() const { return Stage{state_.programs.stage}; }
    void enter(Stage stage) { state_.programs.stage = static_cast<std::uint8_t>(stage); }

    const Machine machine_;
    State& state_;
    const guest::Options options_;
    const Layout layout_;
    Output output_;
    std::vector<MemWorker> workers_; // one per CPU, none without the mem program
    std::optional<DiskWork> disk_;
    std::optional<Heartbeat> heartbeat_;
};

} // namespace godwit::plain
