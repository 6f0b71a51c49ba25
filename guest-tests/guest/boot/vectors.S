// SPDX-License-Identifier: Apache-2.0
// All that ever runs at CPL0 after entry: gates, interrupts, exceptions.
// Vector n starts at VECTOR_TABLE + n * VECTOR_STRIDE, which is how the IDT can be a table of constants.
#include "boot/layout.h"

// An interrupt touches no register: it counts itself in its CPU's block and is acknowledged.
// INTx is level triggered, its acknowledgement is left to CPL3 (machine/interrupts.cc).
    .altmacro
    .macro interrupt_slot vector
    .balign VECTOR_STRIDE
    .if \vector == VECTOR_SPURIOUS
    iretq
    .else
    incl %gs:CPU_IRQ_COUNT + 4 * \vector
    incl %gs:CPU_IRQ_TOTAL
    .if \vector < VECTOR_INTX || \vector >= VECTOR_INTX_END
    addr32 movl $0, 0xfee000b0
    .endif
    iretq
    .endif
    .endm

    .macro exception_slot vector
    .balign VECTOR_STRIDE
    .if \vector == 3
    jmp *gates(, %rax, 8)
    .else
    .if !(\vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17 || \vector == 21 || \vector == 29 || \vector == 30)
    pushq $0
    .endif
    pushq $\vector
    jmp exception
    .endif
    .endm

    .section .kvectors, "ax", @progbits
    .code64
    .globl vectors
vectors:
    .set n, 0
    .rept 32
    exception_slot %n
    .set n, n + 1
    .endr
    .rept 224
    interrupt_slot %n
    .set n, n + 1
    .endr
    .balign VECTOR_STRIDE
    .noaltmacro

    .section .ktext, "ax", @progbits
// An exception is fatal: it is noted down and CPL3 reports it (machine/exception.cc).
exception:
    popq exception_record
    popq exception_record + 8
    popq exception_record + 16
    mov %cr2, %rax
    mov %rax, exception_record + 24
    pushq $SELECTOR_USER_DATA
    pushq $exception_stack_top
    pushq $2
    pushq $SELECTOR_USER_CODE
    pushq $exception_entry
    iretq

// Entered with interrupts off, so an interrupt cannot slip in between the comparison and the halt.
gate_halt_unless:
    cmp %esi, (%rdi)
    jne gate_return
    sti
    hlt
gate_return:
    iretq
gate_read_msr:
    rdmsr
    iretq
gate_write_msr:
    mov %edi, %eax
    wrmsr
    iretq
gate_stop:
    cli
    hlt
    jmp gate_stop
gate_triple_fault:
    lidt empty_idt_pointer
    ud2

    .section .kdata, "aw", @progbits
    .balign 8
gates:
    .quad gate_halt_unless, gate_read_msr, gate_write_msr, gate_stop, gate_triple_fault
empty_idt_pointer:
    .word 0
    .quad 0
