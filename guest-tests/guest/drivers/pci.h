// SPDX-License-Identifier: Apache-2.0
#pragma once
// PCI bus 0 by ECAM.  No firmware has been here: memory BARs are sized and placed by us, I/O BARs stay
// closed.
#include "base/types.h"

#include <array>

namespace guest::pci {

struct Bar {
    u64 address = 0, size = 0; // size 0: none, or an I/O BAR
};

class Function {
  public:
    constexpr Function() = default;
    explicit Function(u32 slot);

    u32 slot() const { return slot_; }
    u16 vendor() const { return read<u16>(0); }
    u16 device() const { return read<u16>(2); }
    u16 subsystem() const { return read<u16>(0x2e); }
    u8 interrupt_pin() const { return read<u8>(0x3d); }
    const Bar& bar(u32 index) const { return bars_[index]; }

    // Offset of the next capability with this id behind `after` (0: from the start), or 0.
    u8 find_capability(u8 id, u8 after = 0) const;

    void place_bars();
    void enable(bool intx); // memory and bus master; INTx or not

    template <class T>
    T read(u32 offset) const;
    template <class T>
    void write(u32 offset, T value) const;

  private:
    void place_bar(u32 index);

    u32 slot_ = 0;
    u64 config_ = 0;
    std::array<Bar, 6> bars_{};
};

constexpr u32 slots = 32;
bool present(u32 slot);

} // namespace guest::pci

#include "machine/io.h"

namespace guest::pci {

template <class T>
T Function::read(u32 offset) const {
    return read_register<T>(config_ + offset);
}
template <class T>
void Function::write(u32 offset, T value) const {
    write_register<T>(config_ + offset, value);
}

} // namespace guest::pci
