// SPDX-License-Identifier: Apache-2.0
//
// What a stream's RAM sections carry, without guest memory to put it into: blocks, pages by kind, and for a
// comparison the key of each page's content. Knows the record kinds of migration/ram.c of QEMU 7.2 that a
// file can have. The bytes are hostile: nothing is allocated by a size that the stream names. One thread.
#pragma once

#include "migration/inspect/view.h"
#include "migration/wire/input.h"

namespace godwit::migration::inspect {

class RamScan {
  public:
    // `keep_pages` fills Ram::pages. `physical_bases`: block lists carry a guest address (capability
    // x-ignore-shared).
    RamScan(Ram& ram, bool keep_pages, bool physical_bases)
        : ram_(ram), keep_pages_(keep_pages), physical_bases_(physical_bases) {}

    // Bodies of START, and of PART or END.
    Status start(wire::Input& in);
    Status pages(wire::Input& in);

  private:
    Status page_record(wire::Input& in, std::uint64_t word);
    Status data_page(wire::Input& in, RamBlock& block, std::uint64_t address, std::uint64_t at);
    void note(std::uint64_t page, std::uint64_t offset, bool zero, std::uint32_t key);

    Ram& ram_;
    bool keep_pages_;
    bool physical_bases_;
    std::optional<std::uint32_t> current_; // block of the last page record
    wire::BootMark boot_mark_;
    std::vector<std::byte> page_;
};

} // namespace godwit::migration::inspect
