// SPDX-License-Identifier: Apache-2.0
//
// --cpu: which processor a machine's guest gets. Pure but for reading the file and a warning.
#pragma once

#include "vmm/base/result.h"
#include "vmm/cpu/cpuid.h"

#include <string>

namespace godwit {

// "host": all that KVM gives. "baseline": cpu::baseline() of it, with a warning that names what the host
// lacks of x86-64-v2. Otherwise the name of a file with a model, all of which the host must be able to give.
Result<cpu::CpuModel> choose_cpu(const std::string& choice, const cpu::CpuModel& host);

} // namespace godwit
