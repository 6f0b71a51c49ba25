// SPDX-License-Identifier: Apache-2.0
//
// The doorbells of one device: an eventfd for each queue, watched on the loop, and the guest writes that
// signal it without an exit. Threads: loop.
#pragma once

#include "devices/irq.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/loop/loop.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace godwit {

// A guest write that rings: arguments of DoorbellRegistry::add_mmio().
struct DoorbellPlace {
    Gpa address;
    std::uint32_t width = 0;
    std::optional<std::uint64_t> match = std::nullopt;
    bool operator==(const DoorbellPlace&) const = default;
};

class Doorbells {
  public:
    using Rung = std::function<void(std::uint16_t queue)>;
    using Places = std::vector<std::vector<DoorbellPlace>>; // of each queue

    // `rung` is called on the loop's thread, between start() and stop() only. Loop and registry outlive this.
    static Result<std::unique_ptr<Doorbells>> create(std::string name, Loop& loop, DoorbellRegistry& registry,
                                                     std::uint16_t queues, Rung rung);

    // A queue that `places` leaves out has none for the moment. A doorbell that the host refuses is told in
    // the log: its writes then arrive as register accesses, slower and as good.
    void start(Places places);
    void move(Places places);
    // Afterwards no doorbell is attached and none pends. Whoever starts again looks at every queue, so a kick
    // that came last is not lost. Idempotent.
    void stop();

  private:
    struct Bell {
        EventFd event;
        std::unique_ptr<Watch> watch;
        std::vector<std::unique_ptr<Doorbell>> attached;
    };
    Doorbells(std::string name, DoorbellRegistry& registry, Rung rung)
        : name_(std::move(name)), registry_(registry), rung_(std::move(rung)) {}
    void attach();
    void detach();

    std::string name_;
    DoorbellRegistry& registry_;
    Rung rung_;
    bool active_ = false;
    Places places_;
    log::RateLimit errors_;
    std::vector<Bell> bells_;
};

} // namespace godwit
