// SPDX-License-Identifier: Apache-2.0
//
// The RAM section of a complete stream, version 4: START with the block list, one PART per call of
// begin_part() with its pages, END. Reference: migration/ram.c of QEMU 7.2 (ram_save_setup,
// save_page_header). One thread.
#pragma once

#include "migration/wire/format.h"
#include "migration/wire/sink.h"
#include "vmm/base/address.h"

namespace godwit::migration::wire {

class RamWriter {
  public:
    explicit RamWriter(Sink& sink) : sink_(sink) {}

    Status start(std::uint64_t ram_size);
    Status begin_part();
    Status zero_page(RamOffset offset);
    // Precondition: page.size() == kPageSize.
    Status page(RamOffset offset, std::span<const std::byte> page);
    Status end_part();
    Status end();

  private:
    Status record(RamOffset offset, std::uint64_t flag, std::span<const std::byte> payload);
    Status close(ByteWriter out);

    Sink& sink_;
    bool block_named_ = false;
};

} // namespace godwit::migration::wire
