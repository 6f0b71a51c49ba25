// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/cpu_choice.h"

#include "vmm/base/log.h"
#include "vmm/base/text.h"
#include "vmm/cpu/model_file.h"
#include "vmm/cpu/portability.h"

namespace godwit {

Result<cpu::CpuModel> choose_cpu(const std::string& choice, const cpu::CpuModel& host) {
    if (choice == "host")
        return host;
    if (choice == "baseline") {
        if (const auto missing = cpu::missing_of_baseline(host); !missing.empty())
            log::warning("--cpu baseline: this host's KVM does not offer {}, so the guest goes without",
                         join(missing, ", "));
        return cpu::baseline(host);
    }
    cpu::CpuModel model = TRY_IN(cpu::read_model(choice), "--cpu");
    TRY(cpu::check_can_give(model, host, fmt::format("--cpu {}", choice)));
    return model;
}

} // namespace godwit
