// SPDX-License-Identifier: Apache-2.0
// GDT, IDT, TSSs and page tables, all of them data that the loader puts in place.
#include "boot/layout.h"

// One TSS per CPU.  All share the one I/O bitmap behind the table (all ports open to CPL3, also where
// USER_RFLAGS alone would not do), each reaching it by its own offset.
    .section .ktss, "aw", @progbits
    .globl tss_table, io_bitmap
tss_table:
    .set i, 0
    .rept MAX_CPUS
    .long 0
    .quad kernel_stacks + (i + 1) * KERNEL_STACK_SIZE
    .quad 0, 0, 0
    .quad fault_stacks + (i + 1) * FAULT_STACK_SIZE
    .quad 0, 0, 0, 0, 0, 0, 0
    .word 0, IO_BITMAP - TSS_TABLE - i * TSS_STRIDE
    .balign TSS_STRIDE
    .set i, i + 1
    .endr
    .org tss_table + (IO_BITMAP - TSS_TABLE)
io_bitmap:
    .fill IO_BITMAP_SIZE, 1, 0
    .byte 0xff

    .section .kdata, "aw", @progbits
    .balign 16
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff
    .set i, 0
    .rept MAX_CPUS
    .set base, TSS_TABLE + i * TSS_STRIDE
    .word IO_BITMAP + IO_BITMAP_SIZE - base
    .word base & 0xffff
    .byte (base >> 16) & 0xff, 0x89, 0, base >> 24
    .quad 0
    .set i, i + 1
    .endr
gdt_end:

// Interrupt gates into ring 0.  INT3 is the one that CPL3 may use.
// NMI, double fault and machine check get IST 1.
    .balign 16
idt:
    .set i, 0
    .rept 256
    .set handler, VECTOR_TABLE + i * VECTOR_STRIDE
    .word handler & 0xffff, SELECTOR_KERNEL_CODE
    .if i == 2 || i == 8 || i == 18
    .byte 1
    .else
    .byte 0
    .endif
    .if i == 3
    .byte 0xee
    .else
    .byte 0x8e
    .endif
    .word handler >> 16
    .long 0, 0
    .set i, i + 1
    .endr

    .globl gdt, gdt_pointer32, idt_pointer
gdt_pointer32:
    .word gdt_end - gdt - 1
    .long gdt
    .long 0
idt_pointer:
    .word 256 * 16 - 1
    .quad idt

// Identity map of 16 GiB.  [0, 1M) is open to CPL3 (start info, ACPI, trampoline), [1M, 2M) is ours and
// closed, RAM in 2 MiB pages, [3G, 4G) uncached for devices.
    .section .kpages, "aw", @progbits
    .balign 4096
    .globl pml4
pml4:
    .quad page_directory_pointers + 7
    .fill 511, 8, 0
page_directory_pointers:
    .set i, 0
    .rept 16
    .quad page_directories + i * 4096 + 7
    .set i, i + 1
    .endr
    .fill 496, 8, 0
page_directories:
    .quad first_page_table + 7
    .set i, 1
    .rept 16 * 512 - 1
    .if i >= 3 * 512 && i < 4 * 512
    .quad (i << 21) + 0x9f
    .else
    .quad (i << 21) + 0x87
    .endif
    .set i, i + 1
    .endr
first_page_table:
    .set i, 0
    .rept 512
    .if i < 256
    .quad (i << 12) + 7
    .else
    .quad (i << 12) + 3
    .endif
    .set i, i + 1
    .endr

    .section .kstacks, "aw", @nobits
    .balign 16
    .globl kernel_stacks
kernel_stacks:
    .skip KERNEL_STACK_SIZE * MAX_CPUS
fault_stacks:
    .skip FAULT_STACK_SIZE * MAX_CPUS
