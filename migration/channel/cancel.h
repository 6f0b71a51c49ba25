// SPDX-License-Identifier: Apache-2.0
//
// A request to stop a migration, which wakes whatever the migration's threads are waiting for. Any thread may
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
    // One that is requested when `parent` is, too; null is none. The parent must outlive it.
    static Result<std::unique_ptr<Cancel>> create(const Cancel* parent = nullptr) {
        return std::unique_ptr<Cancel>{new Cancel{TRY(EventFd::create()), parent}};
    }
    // The first reason counts. `cause` is what the whole migration then ends with.
    void request(std::string_view reason = "cancelled", ErrorCode cause = ErrorCode::Cancelled) {
        {
            const std::lock_guard lock{mutex_};
            if (reason_.empty()) {
                reason_ = reason;
                cause_ = cause;
            }
        }
        requested_.store(true);
        event_.signal();
    }
    // Of whoever gives up because of it.
    Error error() const {
        if (parent_ != nullptr && parent_->requested())
            return parent_->error();
        const std::lock_guard lock{mutex_};
        return Error{ErrorCode::Cancelled, reason_};
    }
    ErrorCode cause() const {
        const std::lock_guard lock{mutex_};
        return cause_;
    }
    bool requested() const {
        return requested_.load(std::memory_order_relaxed) || (parent_ != nullptr && parent_->requested());
    }
    // Readable from the request on. A wait watches the parent's as well.
    int fd() const { return event_.fd(); }
    const Cancel* parent() const { return parent_; }

  private:
    Cancel(EventFd event, const Cancel* parent) : event_(std::move(event)), parent_(parent) {}
    EventFd event_;
    const Cancel* parent_;
    std::atomic<bool> requested_{false};
    mutable std::mutex mutex_;
    std::string reason_; // under mutex_
    ErrorCode cause_ = ErrorCode::Cancelled;
};

} // namespace godwit::migration
