// SPDX-License-Identifier: Apache-2.0
//
// The doorbells of one virtio function: an eventfd for each queue, watched on the loop, and the guest address
// that signals it without an exit. The address follows the BAR. Virtio 1.2 section 4.1.4.4. Threads: loop.
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

namespace godwit::pci {

class Doorbells {
  public:
    using Rung = std::function<void(std::uint16_t queue)>;

    // `rung` is called on the loop's thread, between start() and stop() only. `stride`: bytes from one
    // queue's doorbell to the next. Loop and registry outlive this.
    static Result<std::unique_ptr<Doorbells>> create(std::string name, Loop& loop, DoorbellRegistry& registry,
                                                     std::uint16_t queues, std::uint32_t stride, Rung rung);

    // `base`: guest address of queue 0's doorbell; nothing while the BAR is not mapped. A doorbell that the
    // host refuses is told in the log: its writes then arrive as register accesses, slower and as good.
    void start(std::optional<Gpa> base);
    void move(std::optional<Gpa> base);
    // Afterwards no doorbell is attached and none pends. Whoever starts again looks at every queue, so a kick
    // that came last is not lost. Idempotent.
    void stop();

  private:
    struct Bell {
        EventFd event;
        std::unique_ptr<Watch> watch;
        std::unique_ptr<Doorbell> attached;
    };
    Doorbells(std::string name, DoorbellRegistry& registry, std::uint32_t stride, Rung rung)
        : name_(std::move(name)), registry_(registry), stride_(stride), rung_(std::move(rung)) {}
    void attach();
    void detach();

    std::string name_;
    DoorbellRegistry& registry_;
    const std::uint32_t stride_;
    Rung rung_;
    bool active_ = false;
    std::optional<Gpa> base_;
    log::RateLimit errors_;
    std::vector<Bell> bells_;
};

} // namespace godwit::pci
