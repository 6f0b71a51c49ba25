// SPDX-License-Identifier: Apache-2.0
//
// The data of one command as its device sees it: bytes that come or go, wherever the driver's chain of CCWs
// says. A chained CCW is fetched when its bytes are wanted, so a program may still change it. Principles of
// Operation, chapter 15, "Data Chaining". Loop thread.
#pragma once

#include "transports/ccw/ccw.h"

#include <cstddef>
#include <span>

namespace godwit::ccw {

class DataStream {
  public:
    // `first` is valid and lies at `at`.
    DataStream(GuestMemory& memory, std::uint64_t at, const Ccw1& first);

    // ---- for the device. Each gives the bytes moved; fewer than asked for when the driver offers fewer, or
    // when something is wrong with the program, and then the command must have no effect.

    // From the driver.
    std::size_t take(std::span<std::byte> out);
    // To the driver.
    std::size_t give(std::span<const std::byte> bytes);
    // What lies at the front of the driver's memory, for read commands with an argument. Before anything has
    // moved; only what the first CCWs hold without moving on in the stream.
    std::size_t look(std::span<std::byte> out) const;
    // What was moved is enough, although more was asked for.
    void enough() { starved_ = cut_short_ = false; }
    // The command has no data.
    void no_data() { immediate_ = true; }

    // ---- for the interpreter, afterwards

    std::size_t moved() const { return moved_; }
    bool faulted() const { return faulted_; }     // program check
    bool starved() const { return starved_; }     // the device missed bytes that it needs
    bool cut_short() const { return cut_short_; } // the device had more to give
    bool left_over() const { return left_ != 0 || (ccw_.flags & kCcwChainData) != 0; }
    bool immediate() const { return immediate_; }
    bool interrupt_wanted() const { return interrupt_wanted_; } // a chained CCW has the PCI flag
    // The CCW at which the data ended.
    std::uint64_t at() const { return at_; }
    const Ccw1& ccw() const { return ccw_; }
    std::uint16_t residual() const { return left_; }

  private:
    // Moves on to the next CCW that has bytes; false at the end.
    bool more();
    bool next_chained();
    // The address of the next bytes, which were checked to lie below 2 GiB.
    bool in_reach(std::size_t count);
    Gpa here() const { return Gpa{std::uint64_t{ccw_.cda} + (ccw_.count - left_)}; }
    void passed(std::size_t count);

    GuestMemory& memory_;
    std::uint64_t at_;
    Ccw1 ccw_;
    std::uint16_t left_;
    std::size_t moved_ = 0;
    bool faulted_ = false;
    bool starved_ = false;
    bool cut_short_ = false;
    bool immediate_ = false;
    bool interrupt_wanted_ = false;
};

} // namespace godwit::ccw
