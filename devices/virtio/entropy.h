// SPDX-License-Identifier: Apache-2.0
//
// Where random bytes come from: the kernel's generator, or a character device such as /dev/hwrng. Nothing
// waits: a source that has no bytes right now says so. Threads: loop only, except where said.
#pragma once

#include "vmm/base/result.h"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace godwit::virtio {

class EntropySource {
  public:
    virtual ~EntropySource() = default;
    // As read(2) without waiting: the number of bytes put to the front of `out`, or -errno, -EAGAIN when
    // there are none yet. Never 0. `out` is not empty, and may be guest memory.
    virtual ssize_t read(std::span<std::byte> out) = 0;
    // For messages.
    virtual std::string_view name() const = 0;
};

// Any thread. "getrandom", the system call, or the path of a character device; anything that ends, as a file
// does, is refused: its bytes would be the same in every guest.
Result<std::unique_ptr<EntropySource>> open_entropy(const std::string& source);

} // namespace godwit::virtio
