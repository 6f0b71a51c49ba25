// SPDX-License-Identifier: Apache-2.0
//
// The state of vCPUs, interrupt controllers and clocks as sections of the stream, in QEMU's order:
//
//     timer, [fw_cfg], { cpu_common, cpu, [kvm-tpr-opt], apic, godwit-cpu, godwit-msrs } per vCPU, ioapic,
//     kvmclock
//
// The order is also that of applying: the virtual clock before the LAPICs, whose timers count on it; the
// LAPICs before the IOAPIC, which sends them what is pending. Migration thread, with the machine paused.
#pragma once

#include "migration/state/section.h"
#include "vmm/kvm/vcpu_set.h"

#include <memory>
#include <vector>

namespace godwit::kvm {

using Sections = std::vector<std::unique_ptr<StateSection>>;

// What is given must outlive the sections.
std::unique_ptr<StateSection> make_timer_section(VirtualClock& clock);
// Those of one vCPU. The last two are needed only when they have something to say; a stream for a QEMU leaves
// out every section whose name starts with kPrivatePrefix.
Sections make_cpu_sections(VcpuSet& vcpus, std::uint32_t index);
std::unique_ptr<StateSection> make_ioapic_section(Vm& vm);
std::unique_ptr<StateSection> make_kvmclock_section(KvmClock& clock);

inline constexpr std::string_view kPrivatePrefix = "godwit-";

} // namespace godwit::kvm
