// SPDX-License-Identifier: Apache-2.0
//
// Where connections that want something meet the one thread that deals with them, one at a time. What comes
// while it is busy waits for a moment and is then refused. Any thread may offer; one waits.
#pragma once

#include "migration/reception.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>

namespace godwit::migration {

class Arrivals {
  public:
    // Leaves the connection with its caller, and is false, when nobody took it within `patience`: an attempt
    // that has just failed may still be cleaning up.
    bool offer(Connection& connection, std::chrono::milliseconds patience) {
        std::unique_lock lock{mutex_};
        const auto can_take = [&] { return closed_ || (waits_ && !connection_); };
        if (!news_.wait_for(lock, patience, can_take) || closed_)
            return false;
        connection_.emplace(std::move(connection));
        news_.notify_all();
        return true;
    }

    // The next connection, or why there will be none.
    Result<Connection> wait() {
        std::unique_lock lock{mutex_};
        waits_ = true;
        news_.notify_all();
        news_.wait(lock, [&] { return closed_ || connection_; });
        waits_ = false;
        if (!connection_)
            return *closed_;
        Connection taken = std::move(*connection_);
        connection_.reset();
        return taken;
    }

    // From now on nobody is let in; one that is here already still is.
    void close(const Error& why) {
        const std::lock_guard lock{mutex_};
        if (!closed_)
            closed_ = why;
        news_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable news_;
    bool waits_ = false;
    std::optional<Connection> connection_;
    std::optional<Error> closed_;
};

} // namespace godwit::migration
