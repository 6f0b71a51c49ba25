// SPDX-License-Identifier: Apache-2.0
//
// Gets a vCPU's thread out of KVM_RUN: a real-time signal whose handler sets kvm_run.immediate_exit. A signal
// that comes before KVM_RUN is entered is not lost: KVM_RUN then returns at once.
#pragma once

#include "vmm/base/result.h"

#include <cstdint>
#include <pthread.h>

namespace godwit::kvm {

// Call once per process before the first kick; later calls do nothing. Uses SIGRTMIN, with SA_RESTART: other
// system calls of the thread go on.
Status install_kick_handler();

// On the vCPU's own thread: blocks every signal but the kick there, and tells the handler where the flag is.
// Null ends that.
void arm_kick(volatile std::uint8_t* immediate_exit);

// Any thread. The target must not have ended.
void kick(pthread_t thread);

} // namespace godwit::kvm
