// SPDX-License-Identifier: Apache-2.0
//
// Sections that a QEMU of the same board sends and that our board has no device for. Their layouts are known
// and the guest does not depend on them once it runs its own kernel: they are read, checked and dropped.
// References: hw/nvram/fw_cfg.c, hw/i386/kvmvapic.c, hw/rtc/mc146818rtc.c of QEMU 7.2.
#pragma once

#include "migration/state/section.h"

#include <memory>
#include <vector>

namespace godwit::migration::wire {

// To be given to a StreamReader behind the machine's own. commit_load() logs what was dropped.
std::vector<std::unique_ptr<StateSection>> make_qemu_sections();

} // namespace godwit::migration::wire
