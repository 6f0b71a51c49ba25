// SPDX-License-Identifier: Apache-2.0
//
// What of a downtime does not depend on RAM, part by part: as it was last measured by this process, on either
// side of a migration and in attempts that failed too; until then a cautious guess. Any thread.
#pragma once

#include "migration/report.h"

#include <mutex>

namespace godwit::migration {

class CostMemory {
  public:
    // Takes over every part that the attempt came to.
    void learn(const Report& report);
    // Without the time that messages are on their way: the connection at hand knows that.
    Duration forecast() const;

  private:
    mutable std::mutex mutex_;
    Duration pause_{8'000};
    Duration save_{5'000};
    Duration send_{2'000};
    Duration load_{5'000};
    Duration apply_{6'000};
    Duration take_over_{4'000};
};

} // namespace godwit::migration
