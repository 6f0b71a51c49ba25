// SPDX-License-Identifier: Apache-2.0
//
// Where a migration waits, with its guest paused, until an operator lets it go on to the switchover. Any
// thread.
#pragma once

#include "vmm/base/result.h"

#include <functional>
#include <mutex>

namespace godwit::migration {

class SwitchoverGate {
  public:
    // `waits` is called on the migration's thread when it has come to the gate.
    explicit SwitchoverGate(std::function<void()> waits) : waits_(std::move(waits)) {}

    // The operator. An error when nobody waits.
    Status open() {
        const std::lock_guard lock{mutex_};
        if (state_ != State::Waiting)
            return invalid_input("no migration is paused before its switchover");
        state_ = State::Open;
        return {};
    }

    // The migration.
    void arrive() {
        {
            const std::lock_guard lock{mutex_};
            state_ = State::Waiting;
        }
        waits_();
    }
    bool is_open() const {
        const std::lock_guard lock{mutex_};
        return state_ == State::Open;
    }
    void leave() {
        const std::lock_guard lock{mutex_};
        state_ = State::Idle;
    }

  private:
    enum class State { Idle, Waiting, Open };
    const std::function<void()> waits_;
    mutable std::mutex mutex_;
    State state_ = State::Idle;
};

} // namespace godwit::migration
