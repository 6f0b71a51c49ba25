// SPDX-License-Identifier: Apache-2.0
//
// Brings what the guest has written to its disks to stable storage, beside everything else: on a slow disk
// that takes minutes, in which nobody else must wait. Passes run on a thread of their own that outlives this
// object where it has to: a kernel that hangs on storage cannot be left. Threads: advance() on one at a time.
#pragma once

#include "migration/machine_port.h"

#include <chrono>
#include <functional>
#include <memory>

namespace godwit {

class WriteBack {
  public:
    // Waits as long as it takes; whatever it uses must live as long as itself.
    using Pass = std::function<Status()>;

    explicit WriteBack(Pass pass);

    // Begins a pass unless one is under way, and waits for its end for up to `patience`. The pass's error
    // once.
    Result<migration::WriteBackState> advance(std::chrono::milliseconds patience);

  private:
    struct Shared;
    std::shared_ptr<Shared> shared_;
};

} // namespace godwit
