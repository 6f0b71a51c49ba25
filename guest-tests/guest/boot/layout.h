// SPDX-License-Identifier: Apache-2.0
#pragma once
// Constants that the assembler and the C++ side must agree on: selectors, fixed addresses, offsets of shared
// structs. Preprocessor only, because boot/*.S includes it.  The linker script asserts the fixed addresses,
// machine/cpu.h asserts the offsets.

#define MAX_CPUS 64

// Selectors.  TSS descriptors (16 bytes each, one per CPU) start at SELECTOR_TSS.
#define SELECTOR_KERNEL_CODE 0x08
#define SELECTOR_KERNEL_DATA 0x10
#define SELECTOR_USER_DATA 0x1b
#define SELECTOR_USER_CODE 0x23
#define SELECTOR_TSS 0x28

// Fixed places, so that gates and descriptors are plain constants and nothing is patched at run time.
#define VECTOR_TABLE 0x100000
#define VECTOR_STRIDE 32
#define TSS_TABLE 0x102000
#define TSS_STRIDE 128
#define IO_BITMAP 0x104000
#define IO_BITMAP_SIZE 8192
#define TRAMPOLINE 0x8000

#define KERNEL_STACK_SIZE 512
#define FAULT_STACK_SIZE 512
#define USER_STACK_SIZE 16384

#define GUEST_CR0 0x80010033 // PG WP NE ET MP PE
#define GUEST_CR4 0x620      // PAE OSFXSR OSXMMEXCPT
#define GUEST_EFER 0x901     // NXE LME SCE

// RFLAGS of CPL3, with interrupts on and off.  IOPL 3 opens the ports, and so does the I/O bitmap of the TSS:
// software KVMs ignore IOPL, and TCG's CPUs refuse the bitmap of a busy TSS, which is how KVM_SET_SREGS loads
// it.
#define USER_RFLAGS 0x3202        // IF, IOPL 3
#define USER_RFLAGS_SILENT 0x3002 // IOPL 3

// struct CpuStart
#define START_TSS_SELECTOR 0
#define START_KERNEL_STACK 8
#define START_CPU 16
#define START_USER_STACK 24
#define START_USER_ENTRY 32
#define START_ARGUMENT 40

// struct Cpu, reached through GS
#define CPU_IRQ_TOTAL 16
#define CPU_IRQ_COUNT 32

// Vectors.  INTx is level triggered: its handler masks the IOAPIC pin, CPL3 opens it again after serving the
// devices.
#define VECTOR_INTX 0x30
#define VECTOR_INTX_END 0x34
#define INTX_FIRST_PIN 12
#define IOAPIC 0xfec00000
#define IOAPIC_WINDOW 0xfec00010
#define IOAPIC_REDIRECTION 0x10 // index of pin 0's low half
#define IOAPIC_LEVEL 0x8000
#define IOAPIC_MASKED 0x10000
#define VECTOR_TIMER 0x40
#define VECTOR_WAKE 0x41
#define VECTOR_GED 0x42
#define VECTOR_SUBCHANNELS 0x43
#define VECTOR_ADAPTERS 0x44
#define VECTOR_MSIX 0x48
#define VECTOR_SPURIOUS 0xff

// Gates: number in eax, INT3.
#define GATE_HALT_UNLESS 0  // rdi: u32*, esi: value; halts until an interrupt unless *rdi != esi
#define GATE_READ_MSR 1     // ecx -> edx:eax
#define GATE_WRITE_MSR 2    // ecx, edx:edi
#define GATE_WRITE_IOAPIC 3 // ecx: index, edi: value
#define GATE_STOP 4         // halts for good
#define GATE_TRIPLE_FAULT 5 // shuts the machine down the hard way
#define GATE_CPUID 6        // edi: leaf, ecx: subleaf -> eax, ebx, ecx, edx
