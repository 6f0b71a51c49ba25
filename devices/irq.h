// SPDX-License-Identifier: Apache-2.0
//
// What devices and transports know of the interrupt controllers and of doorbells. vmm/kvm implements these on
// irqfd, ioeventfd and GSI routing; unit tests implement them by counting.
#pragma once

#include "vmm/base/address.h"
#include "vmm/base/fd.h"
#include "vmm/base/result.h"

#include <cstdint>
#include <memory>
#include <optional>

namespace godwit {

// One input of the IOAPIC. Any thread.
class IrqLine {
  public:
    virtual ~IrqLine() = default;
    // Level-triggered use. Idempotent.
    virtual void set_level(bool high) = 0;
    // Edge-triggered use: high and low again.
    void pulse() {
        set_level(true);
        set_level(false);
    }
};

// One message-signalled interrupt: an irqfd with a route that can change. Any thread.
class MsiVector {
  public:
    virtual ~MsiVector() = default;
    // Where trigger() delivers from here on: PCI 3.0 section 6.8.1, address and data of the message.
    virtual Status route(std::uint64_t address, std::uint32_t data) = 0;
    virtual void trigger() = 0;
};

class InterruptController {
  public:
    virtual ~InterruptController() = default;
    virtual Result<std::unique_ptr<IrqLine>> line(std::uint32_t gsi) = 0;
    virtual Result<std::unique_ptr<MsiVector>> msi() = 0;
};

// A guest write that signals an eventfd without an exit to us, as long as this object lives.
class Doorbell {
  public:
    virtual ~Doorbell() = default;
};

class DoorbellRegistry {
  public:
    virtual ~DoorbellRegistry() = default;
    // width: 1, 2, 4 or 8 bytes, 0 for any. With `match`, only writes of that value count.
    virtual Result<std::unique_ptr<Doorbell>>
    add_mmio(Gpa address, std::uint32_t width, std::optional<std::uint64_t> match, const EventFd& event) = 0;
};

} // namespace godwit
