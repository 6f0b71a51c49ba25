// SPDX-License-Identifier: Apache-2.0
//
// Whether what a guest wrote to a file or a disk has reached stable storage. The kernel tells a write-back
// that failed once for every open file description (errseq_t, Documentation/core-api/errseq.rst), to whoever
// syncs next; but what was lost cannot be found out, so here a failure stays, whoever was told. Any thread.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/base/result.h"

#include <atomic>
#include <memory>
#include <span>
#include <string>

namespace godwit::virtio {

class StableStorage {
  public:
    // `fd`: of the description that is written through. `name`: of the disk, in errors.
    StableStorage(Fd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

    // Brings everything that was written there; waits for that. An error when something was lost, now or
    // earlier.
    Status write_back();
    // A write-back that somebody else has asked for failed.
    void failed(int errno_value);
    // What is known without trying.
    Status check() const;

  private:
    const Fd fd_;
    const std::string name_;
    std::atomic<int> errno_{0}; // of the first failure
};

// All of them, also after one has failed; the first error.
Status write_back_all(std::span<const std::shared_ptr<StableStorage>> storages);

} // namespace godwit::virtio
