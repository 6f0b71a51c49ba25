// SPDX-License-Identifier: Apache-2.0
#include "migration/cost.h"

namespace godwit::migration {

void CostMemory::learn(const Report& report) {
    const std::lock_guard lock{mutex_};
    const auto take = [](Duration& known, Duration measured) {
        if (measured.count() != 0)
            known = measured;
    };
    take(pause_, report.pause);
    take(save_, report.save);
    take(send_, report.send);
    take(load_, report.load);
    take(apply_, report.apply);
    take(take_over_, report.take_over);
}

Duration CostMemory::forecast() const {
    const std::lock_guard lock{mutex_};
    return pause_ + save_ + send_ + load_ + apply_ + take_over_;
}

} // namespace godwit::migration
