// SPDX-License-Identifier: Apache-2.0
// From power-on to CPL3: the PVH start (32-bit protected mode, ebx =
// hvm_start_info) and the CPL3 landing points.
// Few instructions at CPL0, because some hosts emulate every one of them.
// The first thing that happens is the first byte of the first report line.
#include "boot/layout.h"

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18                      // name size, value size, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long start32

    .section .ktext, "ax", @progbits
    .code32
    .globl start32
start32:
    mov $0x3f8, %edx
    mov $'G', %al
    out %al, %dx
    mov $GUEST_CR4, %eax
    mov %eax, %cr4
    mov $pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    mov $GUEST_EFER, %eax
    xor %edx, %edx
    wrmsr
    lgdt gdt_pointer32
    mov $GUEST_CR0, %eax
    mov %eax, %cr0
    ljmp $SELECTOR_KERNEL_CODE, $start64

    .code64
start64:
    mov $first_cpu_start, %esi
    mov %ebx, START_ARGUMENT(%rsi)
    mov $0xff, %eax                     // a PIC, if there is one, stays silent
    out %al, $0x21
    out %al, $0xa1
    jmp enter_user

// Every CPU goes through here.  rsi: CpuStart.
    .globl enter_user
enter_user:
    lidt idt_pointer
    xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov $SELECTOR_KERNEL_DATA, %eax
    mov %eax, %ss
    mov START_KERNEL_STACK(%rsi), %rsp
    mov START_TSS_SELECTOR(%rsi), %eax
    ltr %ax
    mov $0xc0000101, %ecx               // GS base
    mov START_CPU(%rsi), %eax
    xor %edx, %edx
    wrmsr
    mov START_ARGUMENT(%rsi), %rdi
    pushq $SELECTOR_USER_DATA
    pushq START_USER_STACK(%rsi)
    pushq $USER_RFLAGS
    pushq $SELECTOR_USER_CODE
    pushq START_USER_ENTRY(%rsi)
    iretq

// CPL3 from here on.
    .section .text.entry, "ax", @progbits
    .globl user_entry
user_entry:                             // rdi: hvm_start_info
    mov %rdi, %rbx
    mov $bss_start, %edi
    mov $bss_end, %ecx
    sub %edi, %ecx
    xor %eax, %eax
    rep stosb
    mov %rbx, %rdi
    xor %ebp, %ebp
    call guest_main
    ud2

    .globl application_cpu_user_entry
application_cpu_user_entry:             // rdi: Cpu
    xor %ebp, %ebp
    call application_cpu_main
    ud2

    .globl exception_entry
exception_entry:
    xor %ebp, %ebp
    call exception_main
    ud2

    .section .data.entry, "aw", @progbits
    .balign 8
first_cpu_start:
    .quad SELECTOR_TSS, kernel_stacks + KERNEL_STACK_SIZE, cpus, user_stacks + USER_STACK_SIZE, user_entry, 0

    .section .noinit, "aw", @nobits
    .balign 4096
    .globl user_stacks, exception_stack_top
user_stacks:
    .skip USER_STACK_SIZE * MAX_CPUS
exception_stack:
    .skip USER_STACK_SIZE
exception_stack_top:
