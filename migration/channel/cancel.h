// SPDX-License-Identifier: Apache-2.0
//
// A request to stop a migration, which wakes whatever the migration's thread is waiting for. Any thread may
// request; it cannot be taken back.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/base/result.h"

#include <atomic>
#include <memory>

namespace godwit::migration {

class Cancel {
  public:
    static Result<std::unique_ptr<Cancel>> create() {
        return std::unique_ptr<Cancel>{new Cancel{TRY(EventFd::create())}};
    }
    void request() {
        requested_.store(true);
        event_.signal();
    }
    bool requested() const { return requested_.load(std::memory_order_relaxed); }
    // Readable from the request on.
    int fd() const { return event_.fd(); }

  private:
    explicit Cancel(EventFd event) : event_(std::move(event)) {}
    EventFd event_;
    std::atomic<bool> requested_{false};
};

} // namespace godwit::migration
