// SPDX-License-Identifier: Apache-2.0
//
// A test guest that halts and counts its interrupts, vectors 0x20 to 0x2f, on port 0x10.
#pragma once

#include "vmm/kvm/test_guest.h"

namespace godwit::kvm {

// lgdt [0x8000]; lidt [0x8008]; mov dword [0xfee000f0],0x1ff; jmp 8:1f; 1: out 0x18,al;
// 2: mov esp,0x9000; sti; hlt; jmp 2b
// at 0x40, the handler: inc dword [0x7000]; mov eax,[0x7000]; out 0x10,eax; mov dword [0xfee000b0],0; jmp 2b
// (no iret: KVM's emulator, which may be what runs this, has none for 32-bit mode)
inline constexpr std::uint8_t kInterrupts[] = {
    0x0f, 0x01, 0x15, 0x00, 0x80, 0x00, 0x00, 0x0f, 0x01, 0x1d, 0x08, 0x80, 0x00, 0x00, 0xc7,
    0x05, 0xf0, 0x00, 0xe0, 0xfe, 0xff, 0x01, 0x00, 0x00, 0xea, 0x1f, 0x00, 0x01, 0x00, 0x08,
    0x00, 0xe6, 0x18, 0xbc, 0x00, 0x90, 0x00, 0x00, 0xfb, 0xf4, 0xeb, 0xf7, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0xff, 0x05, 0x00, 0x70, 0x00, 0x00, 0xa1, 0x00, 0x70, 0x00, 0x00,
    0xe7, 0x10, 0xc7, 0x05, 0xb0, 0x00, 0xe0, 0xfe, 0x00, 0x00, 0x00, 0x00, 0xeb, 0xc8};
inline constexpr std::uint64_t kReadyPort = 8; // offset from port 0x10

struct __attribute__((packed)) TablePointer {
    std::uint16_t limit;
    std::uint32_t base;
};

// Tables for kInterrupts: a flat GDT at 0x8100 and an IDT at 0x8200 whose vectors 0x20 to 0x2f go to the
// handler.
inline void write_tables(GuestMemory& memory) {
    constexpr std::uint64_t gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
    must(memory.write(Gpa{0x8000}, TablePointer{sizeof gdt - 1, 0x8100}));
    must(memory.write(Gpa{0x8008}, TablePointer{0x30 * 8 - 1, 0x8200}));
    must(memory.write(Gpa{0x8100}, std::as_bytes(std::span{gdt})));
    const std::uint64_t handler = kProgram.value + 0x40;
    const std::uint64_t gate =
        (handler & 0xffff) | (0x8ull << 16) | (0x8eull << 40) | ((handler >> 16) << 48);
    for (std::uint64_t vector = 0x20; vector < 0x30; ++vector)
        must(memory.write(Gpa{0x8200 + vector * 8}, gate));
}

struct InterruptGuest : TestGuest {
    // Waiting for interrupts; or not begun, for state that is to be loaded.
    explicit InterruptGuest(bool begin = true) : TestGuest{kInterrupts} {
        write_tables(*memory);
        if (!begin)
            return;
        vcpus->resume();
        ports.wait_for_writes(1);
        REQUIRE(ports.writes()[0].offset == kReadyPort);
    }
    // Handler runs so far, in this VM.
    void wait_for_interrupts(std::size_t count) { ports.wait_for_writes(count + ready_writes()); }
    std::size_t interrupts() const { return ports.writes().size() - ready_writes(); }

  private:
    std::size_t ready_writes() const {
        const auto writes = ports.writes();
        return !writes.empty() && writes[0].offset == kReadyPort ? 1 : 0;
    }
};

} // namespace godwit::kvm
