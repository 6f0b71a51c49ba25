// SPDX-License-Identifier: Apache-2.0
//
// Requests the cancel of a migration that takes longer than Parameters::timeout, which may change meanwhile.
// A thread of its own, for as long as the object lives.
#pragma once

#include "migration/channel/cancel.h"
#include "migration/parameters.h"

#include <thread>

namespace godwit::migration {

class TimeLimit {
  public:
    // The time begins now. Both must outlive it.
    TimeLimit(const LiveParameters& parameters, Cancel& cancel);

  private:
    std::jthread thread_;
};

} // namespace godwit::migration
