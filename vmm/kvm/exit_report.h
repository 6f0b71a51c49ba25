// SPDX-License-Identifier: Apache-2.0
//
// One-line texts for exits that end a guest.
#pragma once

#include "vmm/base/result.h"

struct kvm_run;

namespace godwit::kvm {

// KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_FAIL_ENTRY and exits that godwit never asked for. On the vCPU's thread.
Error describe_exit(int vcpu_fd, const kvm_run& run);
// KVM_RUN itself failed.
Error describe_run_failure(int vcpu_fd, const kvm_run& run, int errno_value);

} // namespace godwit::kvm
