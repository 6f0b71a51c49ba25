// SPDX-License-Identifier: Apache-2.0
//
// Descriptors that a client of the control socket has handed over (SCM_RIGHTS) and named (`getfd`), until
// something takes them, `closefd` closes them, or the client goes: by name only, since numbers are the
// machine's own. Confined to one thread.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/base/log.h"

#include <deque>
#include <map>
#include <string>

namespace godwit::control {

class Descriptors {
  public:
    static constexpr std::size_t kMax = 64; // of a client, named or not

    // What came with bytes of the client; closed when there are too many.
    void arrived(Fd fd);
    // Gives the one that came first to a name; what had the name is closed.
    Status name(const std::string& name);
    Status close(const std::string& name);
    // Whoever takes it owns it.
    Result<Fd> take(const std::string& name);

  private:
    std::deque<Fd> arrived_;
    std::map<std::string, Fd> named_;
    log::RateLimit warnings_;
};

} // namespace godwit::control
