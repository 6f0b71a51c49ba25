// SPDX-License-Identifier: Apache-2.0
//
// The only door to <linux/kvm.h>. Some versions of the kernel headers put an empty struct into every
// variable-length struct; it has size 0 in C and 1 in C++, which changes both the layouts and the ioctl
// numbers that are made from sizeof. The macro is replaced before the header is read, and the layouts are
// checked.
//
// Included by .cc files of this folder only: the public headers here speak our own types.
#pragma once

#include <linux/stddef.h>
#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(type, name) type name[0]

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#pragma GCC diagnostic pop

static_assert(sizeof(kvm_cpuid2) == 8);
static_assert(sizeof(kvm_msrs) == 8);
static_assert(sizeof(kvm_msr_list) == 4);
static_assert(sizeof(kvm_irq_routing) == 8);
static_assert(sizeof(kvm_signal_mask) == 4);
static_assert(sizeof(kvm_xsave) == 4096);
