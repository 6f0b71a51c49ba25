// SPDX-License-Identifier: Apache-2.0
//
// KVM's log of the pages that the guest has written. Reference: Linux Documentation/virt/kvm/api.rst,
// KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG.
//
//     TRY(log.start());
//     TRY(log.harvest_into(words));                    // the first time: every page (or none, on older
//     kernels) TRY(log.clear(first_word, words.subspan(...)));  // right before these pages are read and sent
//
// A page is reported by every harvest until it is cleared, and again when it is written after that. Clearing
// late and in pieces keeps the write faults of the guest spread out. Writes that the VMM makes are in
// DirtyMap, not here.
//
// One thread at a time; vCPUs may run.
#pragma once

#include "vmm/kvm/vm.h"

#include <cstdint>
#include <span>

namespace godwit::kvm {

class DirtyLog {
  public:
    // `vm` must outlive it.
    explicit DirtyLog(Vm& vm) : vm_(vm) {}
    ~DirtyLog();
    DirtyLog(const DirtyLog&) = delete;
    DirtyLog& operator=(const DirtyLog&) = delete;

    Status start();
    Status stop();
    bool on() const { return on_; }

    // Words of 64 pages of the RAM block, as in DirtyMap: bit 0 of word 0 is the first page.
    std::uint64_t word_count() const;
    // ORs into `words`, word_count() of them.
    Status harvest_into(std::span<std::uint64_t> words);
    // The same, and clears what it found: reported once, however often it is asked for.
    Status take_into(std::span<std::uint64_t> words);
    // The pages whose bits are set in `words`, which stand for those from word `first_word` on, are logged
    // anew from here. Bits beyond the RAM are ignored.
    Status clear(std::uint64_t first_word, std::span<const std::uint64_t> words);

  private:
    Vm& vm_;
    bool on_ = false;
};

} // namespace godwit::kvm
