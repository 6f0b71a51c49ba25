// SPDX-License-Identifier: Apache-2.0
#pragma once
// The rng program: asks for random bytes all the time, several requests in flight, and looks at what comes:
// nothing beyond the length that was told, no request without a byte, no constant, no repetition, and about
// as many ones as zeros over the whole run.
//   rng.depth=4 rng.size=64 rng.pause=MICROSECONDS (10000)   reinit=N
#include "drivers/virtio_rng.h"
#include "programs/program.h"
#include "programs/reinit.h"

#include <array>

namespace guest {

class Rng final : public Program {
  public:
    constexpr Rng() = default;
    std::string_view name() const override { return "rng"; }
    bool start() override;
    u64 step(u64 now) override;
    void print_status() const override;
    void begin_finish() override { finishing_ = true; }
    bool finished() const override { return over_; }

  private:
    static constexpr u32 max_depth = 8, max_size = 4096;
    struct Slot {
        u8* data = nullptr;
        bool busy = false;
    };

    void complete(u16 slot, u32 length);
    void fail(std::string_view what, u64 detail = 0);
    void judge_all();

    virtio::VirtioRng device_;
    Reinit reinit_;
    std::array<Slot, max_depth> slots_{};
    std::array<u64, 64> seen_{}; // first words of the answers that came last
    u32 depth_ = 0, size_ = 0, in_flight_ = 0;
    u64 pause_ = 0, due_ = 0;
    bool finishing_ = false, over_ = false;
    u64 requests_ = 0, bytes_ = 0, ones_ = 0, errors_ = 0;
};

} // namespace guest
