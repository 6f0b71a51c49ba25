// SPDX-License-Identifier: Apache-2.0
#pragma once
// cpuid: what CPUID and registers tell of the processor: reported at the start and at each status request,
// compared ten times a second. A guest that moves must get the same answers; one that does not is a failure.
#include "programs/program.h"

#include <array>

namespace guest {

class CpuIdentity final : public Program {
  public:
    constexpr CpuIdentity() = default;
    std::string_view name() const override { return "cpuid"; }
    bool start() override;
    u64 step(u64 now) override;
    void print_status() const override;

  private:
    struct Answers {
        std::array<u32, 9> values{};
        u64 all = 0; // every leaf, folded into one number
        // Registers.
        u64 revision = 0; // of the microcode
        u64 platform = 0;
        bool operator==(const Answers&) const = default;
    };
    static Answers ask();

    Answers first_;
    u64 due_ = 0;
    u64 times_ = 0;
};

} // namespace guest
