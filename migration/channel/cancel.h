// SPDX-License-Identifier: Apache-2.0
//
// A request to stop a migration, which wakes whatever the migration's thread is waiting for. Any thread may
// request, and say why; it cannot be taken back.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/base/result.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace godwit::migration {

class Cancel {
  public:
    static Result<std::unique_ptr<Cancel>> create() {
        return std::unique_ptr<Cancel>{new Cancel{TRY(EventFd::create())}};
    }
    // The first reason counts.
    void request(std::string_view reason = "cancelled") {
        {
            const std::lock_guard lock{mutex_};
            if (reason_.empty())
                reason_ = reason;
        }
        requested_.store(true);
        event_.signal();
    }
    bool requested() const { return requested_.load(std::memory_order_relaxed); }
    // Of whoever gives up because of it.
    Error error() const {
        const std::lock_guard lock{mutex_};
        return Error{ErrorCode::Cancelled, reason_};
    }
    // Readable from the request on.
    int fd() const { return event_.fd(); }

  private:
    explicit Cancel(EventFd event) : event_(std::move(event)) {}
    EventFd event_;
    std::atomic<bool> requested_{false};
    mutable std::mutex mutex_;
    std::string reason_; // under mutex_
};

} // namespace godwit::migration
