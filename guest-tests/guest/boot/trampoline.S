// SPDX-License-Identifier: Apache-2.0
// Where a started CPU wakes up: real mode, cs:ip = TRAMPOLINE.  The first CPU copies [trampoline_begin,
// trampoline_end) there.  Goes to long mode in one step and joins the common path.
#include "boot/layout.h"

    .section .rodata.trampoline, "a", @progbits
    .code16
    .globl trampoline_begin, trampoline_end
trampoline_begin:
    cli
    mov %cs, %ax
    mov %ax, %ds
    mov $GUEST_CR4, %eax
    mov %eax, %cr4
    mov $pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    mov $GUEST_EFER, %eax
    xor %edx, %edx
    wrmsr
    lgdtl trampoline_gdt_pointer - trampoline_begin
    mov $GUEST_CR0, %eax
    mov %eax, %cr0
    ljmpl $SELECTOR_KERNEL_CODE, $application_cpu_start64
    .balign 4
trampoline_gdt_pointer:
    .word SELECTOR_TSS + MAX_CPUS * 16 - 1
    .long gdt
trampoline_end:

    .section .ktext, "ax", @progbits
    .code64
application_cpu_start64:
    mov $application_cpu_start, %esi
    jmp enter_user
