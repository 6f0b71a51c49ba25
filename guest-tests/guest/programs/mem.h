// SPDX-License-Identifier: Apache-2.0
#pragma once
// The mem program: rewrites pages round after round, on every CPU, checking each page before it is rewritten.
//   mem.size=64M mem.rate=BYTES_PER_SECOND (0: no limit) mem.fill=random|pattern smp=0|1
//   mem.static=SIZE: filled once, checked at the end unless mem.static.verify=0
#include "machine/clock.h"
#include "machine/cpu.h"
#include "programs/mem_worker.h"
#include "programs/program.h"

#include <array>

namespace guest {

class Mem final : public Program {
  public:
    constexpr Mem() = default;
    std::string_view name() const override { return "mem"; }
    bool start() override;
    bool ready() const override;
    u64 step(u64 now) override;
    void print_status() const override;
    void begin_finish() override;
    bool finished() const override;

  private:
    bool all_reached(MemWorker::Phase phase) const;

    PageSet pages_, static_pages_;
    std::array<MemWorker, MAX_CPUS> workers_{};
    u32 used_ = 0;
    bool reported_error_ = false;
};

} // namespace guest
