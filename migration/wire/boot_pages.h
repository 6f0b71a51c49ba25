// SPDX-License-Identifier: Apache-2.0
//
// What the guest is booted with, in a file: QEMU's format has no place for it, and its readers refuse every
// section that they do not know. So it lies in front of RAM's contents as earlier contents of page 0, which a
// reader that knows nothing of it overwrites:
//
//     the first part of the RAM section := a zero page 0, eight times (the mark: whoever sends a round of RAM
//                                          sends no page twice in a row)
//                                          page 0 with the header
//                                          page 0 with the next 4096 bytes of kernel, initrd, command line,
//                                          each filled up with zeros; again and again
//     header := "GDWTBOOT" version(4) sizes(3 * 8) CRC-32C(3 * 4)
//
// Plain objects, one thread.
#pragma once

#include "migration/boot/boot_assembly.h"
#include "migration/wire/ram_writer.h"

#include <array>
#include <optional>

namespace godwit::migration::wire {

struct BootHeader {
    std::uint32_t version = 0;
    // By BootPart; an initrd that there is not has no bytes.
    std::array<std::uint64_t, kBootParts> sizes{};
    std::array<std::uint32_t, kBootParts> sums{};
};

// A part of the RAM section of its own. Precondition: RAM was started, and nothing of it written.
Status write_boot(RamWriter& ram, const BootSource& source);

// Finds the mark and the header. Told of every page record, in order.
class BootMark {
  public:
    // A page that is all zeros, or another record; `first_page` of our RAM.
    void saw_zeros(bool first_page);
    void saw_other() { state_ = State::Over; }
    void end_part() { state_ = State::Over; }
    // The next record is the header, if it is one.
    bool found() const { return state_ == State::Found; }
    // Behind the header, until the part ends.
    bool inside() const { return state_ == State::Inside; }
    // The page behind the mark. Nothing: it is a page like any other.
    std::optional<BootHeader> header(std::span<const std::byte> page);

  private:
    enum class State { Looking, Found, Inside, Over };
    State state_ = State::Looking;
    unsigned seen_ = 0;
};

// Takes the pages behind the header.
class BootPages {
  public:
    explicit BootPages(std::uint64_t ram_size) : assembly_(ram_size) {}

    // One of a version that is not known here is passed over.
    Status begin(const BootHeader& header);
    Status page(std::span<const std::byte> page);
    // The part of the section ends: all must be here.
    Status end() const;
    // What came; null when nothing did.
    Result<BootSourcePtr> take();

  private:
    Status add(std::span<const std::byte> bytes);

    BootAssembly assembly_;
    std::optional<BootHeader> header_; // of a version that is known
    std::size_t part_ = 0;             // that comes; kBootParts: everything is here
    std::uint64_t here_ = 0;           // of the part
};

} // namespace godwit::migration::wire
