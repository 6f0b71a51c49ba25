// SPDX-License-Identifier: Apache-2.0
//
// Work for the conductor: the one thread that starts, pauses, resumes and ends the machine. Pausing waits for
// vCPUs, which may themselves be waiting for the loop: so it is never done on the loop.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

namespace godwit::control {

class TaskQueue {
  public:
    // Any thread.
    void push(std::function<void()> task) {
        {
            const std::lock_guard lock{mutex_};
            tasks_.push_back(std::move(task));
        }
        news_.notify_one();
    }

    // Conductor: waits for the next task.
    std::function<void()> pop() {
        std::unique_lock lock{mutex_};
        news_.wait(lock, [&] { return !tasks_.empty(); });
        std::function<void()> task = std::move(tasks_.front());
        tasks_.pop_front();
        return task;
    }

  private:
    std::mutex mutex_;
    std::condition_variable news_;
    std::deque<std::function<void()>> tasks_;
};

} // namespace godwit::control
